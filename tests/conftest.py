"""What all tests share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_seed():
    """Every test starts from the same global generator; the package itself never draws from it unasked."""
    torch.manual_seed(0)
