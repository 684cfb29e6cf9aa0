"""Signal-to-quantization-noise ratios."""

import numpy as np
import pytest

from sliceflow.sqnr import sqnr_db


def test_a_step_of_eight_bits_on_uniform_values_has_the_textbook_ratio():
    rng = np.random.default_rng(3)
    exact = rng.uniform(-1, 1, 1 << 16)
    found = np.round(exact * 127.5 - 0.5) / 127.5 + 0.5 / 127.5
    ratio = sqnr_db(float(np.square(exact).sum()), float(np.square(exact - found).sum()))
    assert ratio == pytest.approx(20 * np.log10(2) * 8, abs=0.1)  # 6.02 dB a bit


@pytest.mark.parametrize(("signal", "noise"), [(1, 0), (0, 1), (0, 0), (np.inf, 1), (1, np.inf), (np.nan, 1)])
def test_what_is_no_number_is_none(signal, noise):
    assert sqnr_db(signal, noise) is None
