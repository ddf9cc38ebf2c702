# SPDX-License-Identifier: MIT
"""The decoder in JavaScript gives the samples and the errors of that in Python."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bombs import BOMBS, LEAST, MOST, file_of
from make_faulty import FOLDER as FAULTY
from make_vectors import FOLDER, digest
from viewer_files import faulty_files, random_file

import sanrcodec
from sanrcodec import limits
from sanrcodec.bitstream.container import VERSION
from sanrcodec.errors import SanrError

ROOT = Path(__file__).resolve().parents[1]
VIEWER = ROOT / "sanrcodec" / "viewer"
NODE = shutil.which("node") or shutil.which("nodejs")
MIN_NODE = 18
VECTORS = sorted(FOLDER.glob("*.sanr"))
N_RANDOM_FILES = 24

Query = tuple[float, float, float, "tuple[int, int, int, int] | None"]


def node(*arguments: str | Path, **options: Any) -> str:
    """Run node; skips where it is not installed."""
    if NODE is None:
        pytest.skip("node is not installed: the decoder in JavaScript cannot run")
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").partition(".")[0]) < MIN_NODE:
        pytest.skip(f"node is {version.stdout.strip()}, the tests need {MIN_NODE} or newer")
    done = subprocess.run(
        [NODE, *map(str, arguments)], capture_output=True, text=True, check=False,
        env={**os.environ, "NO_COLOR": "1"}, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def decoded_by_node(
    jobs: Sequence[tuple[bytes, Sequence[Query]]], most: dict[str, float] | None = None
) -> list[dict[str, Any]]:
    """What the decoder in JavaScript makes of files and views; see tests/js/decode.mjs."""
    request = {
        "defaultWeights": str(ROOT / "sanrcodec" / "bitstream" / "default_weights.json"),
        "limits": most or {},
        "jobs": [
            {
                "content": base64.b64encode(content).decode(),
                "views": [
                    {"at": [v, u], "scale": scale, "region": region}
                    for v, u, scale, region in queries
                ],
            }
            for content, queries in jobs
        ],
    }
    output = node(ROOT / "tests" / "js" / "decode.mjs", input=json.dumps(request))
    results: list[dict[str, Any]] = json.loads(output)
    assert len(results) == len(jobs)
    return results


def decoded_by_python(content: bytes, queries: Sequence[Query]) -> dict[str, Any]:
    """The same from the package itself."""
    try:
        opened = sanrcodec.open(content)
        views = [opened.view(v, u, scale=s, region=region) for v, u, s, region in queries]
    except SanrError as error:
        return {"error": type(error).__name__}
    return {
        "views": [
            {"sha256": digest(view), "shape": list(view.shape), "bits": 8 * view.dtype.itemsize}
            for view in views
        ]
    }


def some_views(content: bytes, random: np.random.Generator) -> list[Query]:
    """Views of all kinds: whole and fractional positions, scales and regions."""
    opened = sanrcodec.open(content)
    n_v, n_u = opened.grid
    queries: list[Query] = [(0, 0, 1, None), (n_v - 1, n_u - 1, 1, None), (0, n_u - 1, 0.5, None)]
    for scale in (1, 0.5, 0.25, 0.125):
        v, u = random.uniform(0, n_v - 1), random.uniform(0, n_u - 1)
        height, width = (-(-n // round(1 / scale)) for n in opened.shape[2:4])
        y0, x0 = int(random.integers(height)), int(random.integers(width))
        y1, x1 = int(random.integers(y0, height)) + 1, int(random.integers(x0, width)) + 1
        queries += [(v, u, scale, None), (v, u, scale, (y0, y1, x0, x1))]
    return queries


@pytest.mark.slow
def test_every_vector() -> None:
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    jobs = []
    for path in VECTORS:
        queries: list[Query] = [
            (*map(float, key.split(",")), 1, None)  # type: ignore[misc]
            for key in expected[path.name]["views"]
        ]
        jobs.append((path.read_bytes(), queries))
    assert jobs
    for path, result in zip(VECTORS, decoded_by_node(jobs), strict=True):
        frozen = list(expected[path.name]["views"].values())
        assert [view["sha256"] for view in result["views"]] == frozen, path.name


@pytest.mark.slow
def test_scales_and_regions_of_every_vector() -> None:
    random = np.random.default_rng(1)
    jobs = [(path.read_bytes(), some_views(path.read_bytes(), random)) for path in VECTORS]
    assert decoded_by_node(jobs) == [decoded_by_python(*job) for job in jobs]


@pytest.mark.slow
def test_random_files() -> None:
    """Corners of the format that no fit comes to: all combinations of the header's fields."""
    random = np.random.default_rng(2)
    contents = [random_file(seed) for seed in range(N_RANDOM_FILES)]
    jobs = [(content, some_views(content, random)) for content in contents]
    expected = [decoded_by_python(*job) for job in jobs]
    assert all("views" in result for result in expected)
    found = decoded_by_node(jobs)
    for seed, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, f"random_file({seed})"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default.sanr", "single_view.sanr", "residuals_gray.sanr"])
def test_faulty_files_raise_the_same_errors(name: str) -> None:
    files = faulty_files((FOLDER / name).read_bytes())
    queries: list[Query] = [(0, 0, 1, None)]
    found = decoded_by_node([(content, queries) for content in files.values()])
    expected = {label: decoded_by_python(content, queries) for label, content in files.items()}
    for label, result in zip(files, found, strict=True):
        message = result.pop("message", None)
        assert message is None or "\n" not in message
        assert result == expected[label], label
    names = {result.get("error") for result in expected.values()}
    assert names >= {
        None, "NotSanrError", "UnsupportedVersionError", "UnsupportedFeatureError",
        "TruncatedError", "CorruptSectionError", "LimitError",
    }  # fmt: skip


@pytest.mark.slow
def test_files_that_break_one_rule() -> None:
    """tests/faulty, where each file has its error."""
    frozen = json.loads((FAULTY / "expected.json").read_text(encoding="utf-8"))
    jobs: list[tuple[bytes, list[Query]]] = [
        ((FAULTY / name).read_bytes(), [(0, 0, 1, None)]) for name in frozen
    ]
    found = [result.get("error", "decoded") for result in decoded_by_node(jobs)]
    assert dict(zip(frozen, found, strict=True)) == {
        name: file["error"] for name, file in frozen.items()
    }


@pytest.mark.slow
def test_views_between_do_without_residuals() -> None:
    content = (FAULTY / "residuals_word_missing.sanr").read_bytes()
    job: tuple[bytes, list[Query]] = (content, [(0.5, 0.5, 1, None), (0, 0, 0.5, None)])
    expected = decoded_by_python(*job)
    assert "views" in expected
    assert decoded_by_node([job]) == [expected]


@pytest.mark.slow
def test_bombs_are_refused_at_once() -> None:
    queries: list[Query] = [(0, 0, 1, (0, 1, 0, 1))]
    begun = time.monotonic()
    found = decoded_by_node([(file_of(*bomb), queries) for bomb in BOMBS.values()])
    assert time.monotonic() - begun < 20  # node's start, on a busy machine
    for result in found:
        assert result["error"] == "LimitError"
        assert re.search("bytes asks for|latents in", result["message"])


@pytest.mark.slow
def test_limits_of_the_caller() -> None:
    content = (FOLDER / "random_three_layers.sanr").read_bytes()
    queries: list[Query] = [(0.0, 0.0, 1.0, None), (0.0, 0.0, 0.25, None)]
    header = sanrcodec.open(content).header
    for measure, name in ((limits.pixels, "maxPixels"), (limits.work, "maxWork")):
        whole, small = measure(header, 0), measure(header, 2)
        (result,) = decoded_by_node([(content, queries)], {name: 1.001 * whole})
        assert "views" in result
        for queried, limit in ((queries[:1], 0.999 * whole), (queries[1:], 0.999 * small)):
            (result,) = decoded_by_node([(content, queried)], {name: limit})
            assert result["error"] == "LimitError"
            assert result["message"].endswith(f"if you trust the file, raise {name}")
        (result,) = decoded_by_node([(content, queries[1:])], {name: 1.001 * small})
        assert "views" in result


@pytest.mark.slow
def test_costs_are_those_of_the_python_decoder() -> None:
    random_headers = [sanrcodec.open(random_file(seed)).header for seed in range(12)]
    headers = [LEAST, MOST, *(sanrcodec.open(path).header for path in VECTORS), *random_headers]
    code = f"""
        import {{ pixelsOf, workOf }} from {(VIEWER / "limits.mjs").as_uri()!r};
        const headers = {json.dumps([dataclasses.asdict(header) for header in headers])};
        const costs = headers.map((header) =>
            [0, 1, 2, 3].map((level) => [pixelsOf(header, level), workOf(header, level)]));
        process.stdout.write(JSON.stringify(costs));
    """
    found = json.loads(node("--input-type=module", input=code))
    for header, levels in zip(headers, found, strict=True):
        for level, cost in enumerate(levels):
            expected = [limits.pixels(header, level), limits.work(header, level)]
            assert cost == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_parts_in_node() -> None:
    """tests/js/decoder.test.mjs: what the text states of the decoder's parts."""
    output = node("--test", "--test-reporter=tap", ROOT / "tests" / "js" / "decoder.test.mjs")
    assert re.search(r"^# pass [1-9]", output, re.MULTILINE)
    assert re.search(r"^# fail 0$", output, re.MULTILINE)


def test_types_name_what_the_decoder_exports() -> None:
    """decoder.d.mts declares each export, and no more; nothing is imported but own files."""
    declared = set(
        re.findall(
            r"^export declare (?:class|const|function) (\w+)",
            (VIEWER / "decoder.d.mts").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )
    url = (VIEWER / "decoder.mjs").as_uri()
    code = f"process.stdout.write(JSON.stringify(Object.keys(await import({url!r}))))"
    assert declared == set(json.loads(node("--input-type=module", "--eval", code)))


def test_it_is_a_package_of_node(tmp_path: Path) -> None:
    """Installed, which is a copy of the folder, it is found by its name."""
    package = json.loads((VIEWER / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == sanrcodec.__version__
    assert "dependencies" not in package
    assert (VIEWER / package["types"]).is_file()
    shutil.copytree(VIEWER, tmp_path / "node_modules" / package["name"])
    script = tmp_path / "script.mjs"
    code = (
        f"import {{ FORMAT_VERSION }} from {package['name']!r}; console.log(FORMAT_VERSION.join())"
    )
    script.write_text(code, encoding="utf-8")
    assert node(script).strip() == ",".join(map(str, VERSION))


@pytest.mark.parametrize("path", sorted(VIEWER.rglob("*.mjs")), ids=lambda path: path.name)
def test_modules_are_short_and_import_only_each_other(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("// SPDX-License-Identifier: MIT\n/**\n * @file ")
    assert len(text.splitlines()) <= 400
    assert max(map(len, text.splitlines())) <= 100
    for source in re.findall(r"""\b(?:from|import)\s*\(?\s*["']([^"']+)["']""", text):
        assert re.fullmatch(r"\./\w+\.mjs", source), source


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "viewer.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "example.mjs"
    script.write_text(code.replace('"./sanrcodec', f'"{ROOT.as_uri()}/sanrcodec'), "utf-8")
    assert node(script, cwd=ROOT).split() == "[ 3, 3, 24, 32, 3 ] Uint8Array 24 32 3".split()
