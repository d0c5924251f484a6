"""Homes and stores that cannot be read, on every page: a sentence, and no error."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from tracker.store.home import Home

OF_STUDIES = ("Frontier", "Study", "Compare", "Knobs", "Prices", "Reports")


class NeedsLogin(http.server.BaseHTTPRequestHandler):
    """A server that lets nobody in."""

    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="mlflow"')
        self.end_headers()

    def log_message(self, *_):
        """Nothing to the terminal."""

    do_POST = do_GET  # noqa: N815 - the name that http.server asks for


@pytest.fixture
def locked_server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NeedsLogin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def dead_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


def said(page):
    kinds = (page.markdown, page.info, page.warning, page.error)
    return " ".join(each.value.replace("\\", "") for kind in kinds for each in kind)


@pytest.mark.parametrize("title", OF_STUDIES)
def test_a_home_that_is_not_there_and_one_without_a_study_say_what_to_run(open_page, tmp_path, title):
    gone = open_page(title, at=tmp_path / "gone")
    assert not gone.exception
    assert "There is no study yet" in said(gone)
    assert [code.value for code in gone.code] == ["tracker run experiments/studies/docstrings.toml"]
    assert not (tmp_path / "gone").exists()  # looking makes nothing
    Home(tmp_path / "empty").make()
    assert "There is no study yet" in said(open_page(title, at=tmp_path / "empty", study="some"))


@pytest.mark.parametrize("title", [*OF_STUDIES, "Launch"])
def test_a_broken_database_is_reported_in_a_sentence(open_page, tmp_path, title):
    (tmp_path / "mlflow.db").write_bytes(b"no database at all\n" * 1000)
    page = open_page(title, at=tmp_path, study="some")
    assert not page.exception
    assert "mlflow.db" in said(page)
    assert len(page.error) == 1
    (tmp_path / "mlflow.db").unlink()  # mended: the page is usable again without being opened anew
    page.run()
    assert not page.exception and not page.error


@pytest.mark.parametrize("title", OF_STUDIES)
def test_a_study_that_is_gone_is_said_and_the_newest_shown(open_page, title):
    page = open_page(title, study="gone <b>")
    assert not page.exception
    assert "There is no study 'gone <b>' here; the newest one is shown." in said(page)
    assert page.sidebar.selectbox[0].value == "just <started> $1 🦊"


@pytest.mark.parametrize("server", ["dead_server", "locked_server"])
def test_a_server_that_is_down_or_wants_a_login_is_reported_in_a_sentence(
    open_page, request, monkeypatch, tmp_path, server
):
    address = request.getfixturevalue(server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    page = open_page("Frontier", at=tmp_path)
    assert not page.exception
    (error,) = page.error
    text = error.value.replace("\\", "")
    assert address in text
    assert ("401" in text.replace(address, "")) == (server == "locked_server")  # a port may hold the figure too
