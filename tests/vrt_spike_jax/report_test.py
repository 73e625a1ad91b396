"""The pictures show the frames that they were given, whole, labelled and in order."""

import numpy as np
import pytest
from PIL import Image

from vrt_spike_jax.report import picture_sheet, save_picture


def _frame(colour, *shape: int) -> np.ndarray:
    return np.broadcast_to(np.float32(colour), (*shape, 3))


BLUR, RESTORED, SHARP = (0.8, 0.2, 0.2), (0.2, 0.8, 0.2), (0.2, 0.2, 0.8)


def _pixels(colour) -> tuple[int, ...]:
    return tuple(round(value * 255) for value in colour)


def _columns(sheet: np.ndarray) -> list[tuple[int, ...]]:
    """The colours along the last row of panels, repeats removed, gaps left out."""
    line = [tuple(map(int, pixel)) for pixel in sheet[-20]]
    seen = [b for a, b in zip([None, *line], line, strict=False) if a != b]
    return [colour for colour in seen if colour != (255, 255, 255)]


def test_panels_stand_in_order():
    spikes = np.full((8, 30, 40), 0.25, np.float32)
    sheet = picture_sheet(
        _frame(BLUR, 60, 80), spikes, _frame(RESTORED, 60, 80), _frame(SHARP, 60, 80)
    )
    grey = round(0.4 * 255)  # The mean of the blur: spikes are shown as bright.
    assert _columns(sheet) == [
        _pixels(BLUR),
        (grey, grey, grey),
        _pixels(RESTORED),
        _pixels(SHARP),
    ]


def test_what_is_not_known_has_no_panel():
    sheet = picture_sheet(_frame(BLUR, 8, 8), None, _frame(RESTORED, 8, 8), None)
    assert _columns(sheet) == [_pixels(BLUR), _pixels(RESTORED)]


def test_frames_are_shown_whole_enlarged_by_whole_pixels():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    sheet = picture_sheet(frame, None, frame, None)
    factor = 9  # The smallest that makes 30 pixels at least 256.
    enlarged = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = enlarged.shape[:2]
    np.testing.assert_array_equal(sheet[-8 - height : -8, 8 : 8 + width], enlarged)
    np.testing.assert_array_equal(sheet[-8 - height : -8, -8 - width : -8], enlarged)


def test_labels_are_drawn_above_each_panel():
    frame = _frame(SHARP, 300, 300)
    sheet = picture_sheet(frame, np.ones((4, 300, 300)), frame, frame)
    labels = sheet[8:34].min(axis=(0, 2)) < 100
    assert [labels[8 + i * 308 : 308 + i * 308].any() for i in range(4)] == [True] * 4


def test_several_frames_are_rows():
    frames = np.stack([_frame(BLUR, 16, 16), _frame(SHARP, 16, 16)])
    sheet = picture_sheet(frames, None, frames, None)
    one = picture_sheet(frames[0], None, frames[0], None)
    assert sheet.shape[0] == one.shape[0] + 256 + 8
    np.testing.assert_array_equal(sheet[: one.shape[0]], one)


def test_spikes_show_the_middle_of_the_exposure():
    spikes = np.zeros((8, 16, 16), np.float32)
    spikes[3:5, :, :8] = 1
    sheet = picture_sheet(
        _frame(BLUR, 16, 16), spikes, _frame(BLUR, 16, 16), _frame(BLUR, 16, 16)
    )
    left, right = sheet[-100, 8 + 264 + 20], sheet[-100, 8 + 264 + 236]
    assert left.min() > 200
    assert right.max() == 0


def test_frames_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="frames of one shape.*restored"):
        picture_sheet(_frame(BLUR, 8, 8), None, _frame(BLUR, 8, 9), None)


def test_a_saved_picture_is_read_back_equal(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    path = tmp_path / "pictures" / "step.png"
    save_picture(path, picture)
    np.testing.assert_array_equal(np.array(Image.open(path)), picture)
    assert list(path.parent.iterdir()) == [path]


def test_a_suffix_of_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sheet\.txt .* name it sheet\.png"):
        save_picture(tmp_path / "sheet.txt", np.zeros((4, 4, 3), np.uint8))
    assert not list(tmp_path.iterdir())
