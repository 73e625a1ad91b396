"""Where GoPro's pictures lie in its footage, as their sequences' names say."""

import pytest

from data_pipeline.sources.gopro_frames import sequence_of

# What a search for equal pictures found of all 33 sequences: the first sharp one.
FIRST_SHARP = {
    "GOPR0372_07_00": 3,
    "GOPR0372_07_01": 2,
    "GOPR0374_11_00": 5,
    "GOPR0374_11_01": 4,
    "GOPR0374_11_02": 3,
    "GOPR0374_11_03": 2,
    "GOPR0378_13_00": 6,
    "GOPR0384_11_04": 1,
    "GOPR0384_11_05": 0,
    "GOPR0868_11_02": 3,
    "GOPR0881_11_01": 4,
}


@pytest.mark.parametrize(("name", "frame"), FIRST_SHARP.items())
def test_where_the_published_frames_lie(name: str, frame: int) -> None:
    sequence = sequence_of(name)
    assert sequence.middle(0) == frame
    assert sequence.middle(10) == frame + 10 * int(name[9:11])


@pytest.mark.parametrize("spikes_per_frame", [1, 3, 4, 8])
def test_an_exposure_is_odd_and_leaves_no_frame_out(spikes_per_frame: int) -> None:
    sequence = sequence_of("GOPR0378_13_00")
    period = sequence.period(spikes_per_frame)
    exposure = sequence.exposure(spikes_per_frame)
    assert period == 13 * spikes_per_frame
    assert exposure % 2 == 1
    assert 12 * spikes_per_frame < exposure <= period


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("walk", "not named GOPRxxxx_yy_zz"),
        ("GOPR0372_07", "not named GOPRxxxx_yy_zz"),
        ("GOPR0372_08_00", "not known which one is sharp"),
        ("GOPR0372_07_07", "7 frames are missing of a blur of 7"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sequence_of(name)
