"""One thread: the arrays are small, and threads of PyTorch wait for each other."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch = pytest.importorskip(
        "torch", reason="torch is not installed: pip install 'mlcsc[torch]'"
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
