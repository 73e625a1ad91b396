"""Gamma-coded and linear light, and the space of the spikes."""

import numpy as np
import pytest

from data_pipeline.transfer import GAMMA, to_gamma, to_linear, to_spike_space


def test_linear_light_is_the_power_of_the_code_and_back() -> None:
    coded = np.linspace(0, 1, 256, dtype=np.float32)
    light = to_linear(coded)
    assert GAMMA == 2.2
    np.testing.assert_allclose(light, coded.astype(np.float64) ** 2.2, rtol=1e-5)
    np.testing.assert_allclose(to_gamma(light), coded, atol=1e-6)
    assert light.dtype == to_gamma(light).dtype == np.float32
    # What an interpolation leaves below black is black.
    assert to_linear(np.float32([-0.1])) == to_gamma(np.float32([-0.1])) == 0


@pytest.mark.parametrize("transfer", ["gamma", "linear", "unknown"])
def test_blurred_frames_are_brought_into_the_space_of_the_spikes(transfer: str) -> None:
    pictures = np.arange(256, dtype=np.uint8).reshape(2, 4, 32, 1).repeat(3, axis=-1)
    expected = (pictures / 255.0) ** (2.2 if transfer == "linear" else 1)
    for blur in (pictures, pictures / np.float32(255), pictures / 255.0):
        light = to_spike_space(blur, transfer)
        assert light.dtype == np.float32
        np.testing.assert_allclose(light, expected, rtol=1e-5)


def test_an_unknown_transfer_is_named() -> None:
    with pytest.raises(ValueError, match="Unknown transfer 'lin'.* 'linear'"):
        to_spike_space(np.zeros((1, 2, 2, 3), np.uint8), "lin")
