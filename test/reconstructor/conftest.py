import pytest


@pytest.fixture(scope="session")
def thin():
    from mlreco import Reconstructor

    return Reconstructor.from_pretrained("thin")


@pytest.fixture(scope="session")
def sample():
    """The shipped events, opened."""
    import mlreco
    from mlreco import shipped

    with mlreco.open(shipped.sample("sample")) as events:
        yield events


@pytest.fixture(scope="session")
def command_line_output(tmp_path_factory):
    """What ``mlreco inference`` made of the first eight events, in batches of eight."""
    from mlreco.cli import main

    path = tmp_path_factory.mktemp("command_line") / "output.h5"
    assert main(["inference", "thin", "-s", "sample", "-n", "8", "--batch-size", "8", "-o", str(path)]) == 0
    return path
