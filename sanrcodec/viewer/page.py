# SPDX-License-Identifier: MIT
"""A .sanr file -> one HTML page that shows it: file, decoder and viewer inside.

Must not decode the file, nor write anything. The page asks no server for anything, and its
content security policy says so.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources

__all__ = ["build_page", "bundle_modules"]

_ENTRY = "main"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.mjs";\n', re.MULTILINE)
_EXPORT_ALL = re.compile(r'^export \* from "\./(\w+)\.mjs";\n', re.MULTILINE)
_EXPORT_LIST = re.compile(r"^export \{([^}]*)\};\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_INDENT = re.compile(r"^ +", re.MULTILINE)
_COMMENTS = re.compile(r"^ *(?:/\*\*.*?\*/|// [^\n]*)\n", re.MULTILINE | re.DOTALL)


def build_page(content: bytes, title: str) -> str:
    """Return the text of the page.

    Args:
        content: The whole .sanr file. It is not checked: the page shows what is wrong with it.
        title: What the page is called, usually the name of the file.

    Returns:
        HTML, to be stored as UTF-8.
    """
    script, style = bundle_modules(), _read("page.css")
    table = resources.files("sanrcodec.bitstream").joinpath("default_weights.json")
    default_weights = json.loads(table.read_text(encoding="ascii"))
    return _read("page.html").format(
        # Names of files may hold bytes that are no text, which no page can hold.
        title=html.escape(title.encode("utf-8", "replace").decode("utf-8")),
        style=style,
        style_hash=_policy_hash(style),
        script=script,
        script_hash=_policy_hash(script),
        content=base64.b64encode(content).decode("ascii"),
        default_weights=json.dumps(default_weights, separators=(",", ":")),
    )


def bundle_modules() -> str:
    """The modules of the viewer as one script, which pages and threads run alike.

    Each module becomes a function that is called once and returns what the module exports.
    Comments on lines of their own are left out, and so is what lines begin with: no string of the
    modules depends on it.

    Raises:
        ValueError: a module has an import or export of a form that is not known here.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        text = _INDENT.sub("", _COMMENTS.sub("", _read(f"{name}.mjs")))
        needed = [m[1] for m in _EXPORT_ALL.finditer(text)] + [m[2] for m in _IMPORT.finditer(text)]
        for other in needed:
            add(other)
        exported = [f"...${m[1]}" for m in _EXPORT_ALL.finditer(text)]
        exported += [m[1].strip() for m in _EXPORT_LIST.finditer(text)]
        exported += [m[1] for m in _EXPORT.finditer(text)]
        text = _IMPORT.sub(lambda m: f"const {{{m[1]}}} = ${m[2]};\n", text)
        for statement in (_EXPORT_ALL, _EXPORT_LIST, _EXPORT):
            text = statement.sub("", text)
        if re.search(r"^(?:import|export)\b", text, re.MULTILINE) or "</script" in text:
            raise ValueError(f"{name}.mjs has a statement that cannot be bundled")
        parts[name] = (
            f"const ${name} = (() => {{\n{text}return {{ {', '.join(exported)} }};\n}})();"
        )

    add(_ENTRY)
    return '"use strict";\n' + "\n".join(parts.values()) + "\n"


def _policy_hash(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
