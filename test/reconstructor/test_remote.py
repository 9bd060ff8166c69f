"""Weights from elsewhere, served by a server of the test: kept, checked, used without a connection."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlreco import Reconstructor, UserError, remote, shipped
from mlreco.cli import main

pytest.importorskip("pooch")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of a folder; its address, the folder, and what it was asked for."""
    folder = tmp_path / "served"
    (folder / "owner/chains/resolve/main").mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    server.asked, server.folder = [], folder
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(remote.HUB_VARIABLE, server.address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


def put(server, name, content):
    (server.folder / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_checkpoint_is_fetched_once_and_then_used_without_a_connection(server, thin, sample, tmp_path, capsys):
    import torch

    torch.save({"state_dict": thin._reconstruction.chain.state_dict(), "config": thin.config.text}, tmp_path / "x.ckpt")
    digest = put(server, "x.ckpt", (tmp_path / "x.ckpt").read_bytes())
    chain = Reconstructor.from_pretrained(f"{server.address}/x.ckpt", sha256=digest)
    assert (chain.predict(sample[0]).embeddings == thin.predict(sample[0]).embeddings).all()
    assert len(server.asked) == 1
    assert "downloading" in capsys.readouterr().err
    server.shutdown()
    server.server_close()
    words = ["inference", f"{server.address}/x.ckpt#sha256={digest}", "-s", "sample", "--iterations", "1"]
    assert main([*words, "-o", str(tmp_path / "output.h5")]) == 0
    assert "downloading" not in capsys.readouterr().err


def test_the_hub(server):
    digest = put(server, "owner/chains/resolve/main/thin.ckpt", b"weights")
    assert remote.fetch("hf://owner/chains/thin.ckpt", digest).read_bytes() == b"weights"
    assert server.asked == ["/owner/chains/resolve/main/thin.ckpt"]
    assert remote._address("hf://owner/chains@v2/a/b.ckpt").endswith("/owner/chains/resolve/v2/a/b.ckpt")


def test_what_goes_wrong_is_told_in_one_line(server, tmp_path, monkeypatch):
    digest, other = put(server, "x.ckpt", b"weights"), "0" * 64
    address = f"{server.address}/x.ckpt"
    for source, checksum, message in (
        (address, other, "another checksum than sha256=000"),
        (f"{server.address}/none.ckpt", digest, "cannot be fetched, and there is no copy of it here: 404"),
        ("http://127.0.0.1:9/x.ckpt", digest, "cannot be fetched, and there is no copy"),
        ("https://", digest, "cannot be fetched"),
        (address, None, "say which file is expected: sha256="),
        (address, "12ab", "a sha256 has 64 hexadecimal digits, not '12ab'"),
        (f"{address}#md5=12", digest, "expected #sha256="),
        (f"{address}#sha256={other}", digest, "two checksums are given"),
        ("hf://owner/chains", digest, "expected hf://owner/repository/file"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            remote.fetch(source, checksum)
        assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"weights cannot be kept there: .*; set MLRECO_CACHE"):
        remote.fetch(address, digest)


def test_weights_from_elsewhere_for_a_shipped_chain(server, thin, sample, tmp_path, capsys):
    digest = put(server, "x.ckpt", (shipped.folder() / "weights" / "thin.ckpt").read_bytes())
    address = f"{server.address}/x.ckpt"
    chain = Reconstructor.from_pretrained("thin", weights=address, sha256=digest)
    assert (chain.predict(sample[0]).embeddings == thin.predict(sample[0]).embeddings).all()
    words = ["inference", "thin", "-s", "sample", "-n", "1", "-o", str(tmp_path / "output.h5"), "--weights"]
    assert main([*words, f"{address}#sha256={digest}"]) == 0
    capsys.readouterr()
    assert main([*words, f"{address}#sha256={'0' * 64}"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("mlreco: error: ") and "another checksum" in said[-1]
    assert main([*words, "hf://owner/chains/x.ckpt"]) == 2
    assert "say which file is expected" in capsys.readouterr().err


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(UserError, match=r"pip install 'mlreco\[remote\]'"):
        remote.fetch("https://example.org/x.ckpt", "0" * 64)
