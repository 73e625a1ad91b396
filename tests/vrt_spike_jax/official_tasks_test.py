"""The manifest agrees with itself and with the published facts."""

from vrt_spike_jax.models.variants import VARIANTS
from vrt_spike_jax.official_tasks import (
    SPYNET_URL,
    TASKS,
    numbers_in,
    task_names,
)


def test_every_task_has_its_file_and_its_model():
    assert list(TASKS) == [f"{number:03}" for number in range(1, 10)]
    for number, task in TASKS.items():
        assert task.number == number
        assert task.name.startswith(f"{number}_VRT_video")
        assert number in VARIANTS
    release = "https://github.com/JingyunLiang/VRT/releases/download/v0.0/"
    assert TASKS["008"].url == f"{release}008_VRT_videodenoising_DAVIS.pth"
    assert f"{release}spynet_sintel_final-3d2a1287.pth" == SPYNET_URL


def test_tiles_are_those_of_the_readme():
    assert TASKS["006"].tile == (18, 192, 192)
    assert TASKS["009"].overlap == (0, 20, 20)
    for task in TASKS.values():
        # The official program takes sizes that its windows divide.
        assert all(size % 8 == 0 for size in task.tile[1:])


def test_numbers_are_found_in_file_names():
    for number, task in TASKS.items():
        assert numbers_in(task.file) == {number}
    assert numbers_in("mine-006-from-005.pth") == {"005", "006"}
    assert numbers_in("2006_run_0071_100.pth") == set()
    assert task_names(["004", "003"]) == (
        "003_VRT_videosr_bi_Vimeo_7frames or 004_VRT_videosr_bd_Vimeo_7frames"
    )
