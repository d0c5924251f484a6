"""Access control: anyone on this machine; elsewhere, users logged in through Streamlit's OpenID Connect."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path

import streamlit as st

SECRETS = (Path.home() / ".streamlit" / "secrets.toml", Path.cwd() / ".streamlit" / "secrets.toml")
NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
HOW = (
    "the dashboard would be open to anyone who reaches it, with the buttons that start and stop studies. Set up a login"
    " first: a table [auth] in .streamlit/secrets.toml (in this folder, or in your home) with redirect_uri,"
    " cookie_secret, client_id, client_secret and server_metadata_url of your OpenID Connect provider, and"
    " `pip install Authlib`; see https://docs.streamlit.io/develop/concepts/connections/authentication"
)


def is_this_machine(host: str) -> bool:
    """Whether only this machine reaches what is served at an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def login_problem() -> str:
    """What a login lacks, by the secrets that Streamlit reads; "" where there is one."""
    auth: dict[str, object] = {}
    for path in SECRETS:
        if path.is_file():
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8")).get("auth")
            except (OSError, ValueError) as error:
                return f"'{path}' cannot be read: {error}"
            auth |= table if isinstance(table, dict) else {}
    missing = [name for name in NEEDED if not auth.get(name)]
    if not auth:
        return "there is no login"
    return f"the login lacks {', '.join(missing)}" if missing else ""


def may_look() -> bool:
    """Whether the page may be drawn; where it may not, draws what to do instead."""
    host = str(st.get_option("server.address") or "")
    if is_this_machine(host):
        return True
    if problem := login_problem():
        st.error(f"Served at {host or 'every address'}, and {problem}: {HOW}.", icon=":material/lock:")
        return False
    if st.user.is_logged_in:
        return True
    st.title("Quality against price")
    st.button("Log in", on_click=st.login, type="primary", icon=":material/login:")
    return False
