# SPDX-License-Identifier: MIT
from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sanrcodec"
VECTOR = ROOT / "tests" / "vectors" / "default.sanr"

# A package or module may import those before it, and no others; LAYERS_INSIDE refines some of them.
ORDER = (
    "errors arguments parallel color array_interface lightfield arithmetic bitstream presets scene "
    "limits decoding rendering decoder viewer metrics compare conformance io pillow_plugin "
    "napari_plugin __init__ cli __main__"
).split()
LAYERS_INSIDE = {
    "rendering": "source resample refocus paths pictures methods",
    "arithmetic": "ops axes dense torchops",
    "bitstream": (
        "varint container source header tables range_coder coder tensors defaults grids "
        "entropy_network weights latents residuals"
    ),
    "scene": (
        "formats residuals feature_layer pyramid trunk color_filter pose warp layers view_network "
        "parts scene"
    ),
    "io": (
        "atomic lock extras bombs pixels pnm png pillow_image tiff image stored selection "
        "reading reduced likeness misplaced scan_order conventions names foreign hci_parameters "
        "lenslet_pattern repetition mosaic_grid mosaic lenslet quilt stack counted folder views "
        "array_file npy hdf5 matlab axes arrays contact rearranged registry float_map animation"
    ),
    "encoder": (
        "kernels functions distributed bands images rarity quantize part parameters latent_bits "
        "rate warp scene views loss model exposure dead_pixels target probe trim step_moves "
        "weight_moves correction block_errors quality faults schedule optimizer batches gains "
        "importance planes votes axis_order sweep geometry_report guide allocator process memory "
        "last_good clock graphs lags outlook control settle residual_choice spot_colors residuals "
        "supplement steps pace fitting resumable export checkpoint options result selfcheck "
        "contest start encoding"
    ),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """``decoder``, ``io``, ``encoder``, ``__init__``."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each imported module and whether that happens on import of the file itself."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                assert child.module is not None
                if child.module == "sanrcodec":
                    yield from ((f"sanrcodec.{alias.name}", at_import) for alias in child.names)
                else:
                    yield child.module, at_import
            lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_import and not lazy)

    return walk(ast.parse(path.read_text(encoding="utf-8")), True)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_layers(path: Path) -> None:
    own = unit(path)
    assert own in (*ORDER, "encoder"), "add the module to ORDER"
    for name, at_import in imports(path):
        if not name.startswith("sanrcodec"):
            continue
        part = name.split(".")[1]
        if part == "encoder":
            assert own == "encoder" or (own in ("__init__", "cli") and not at_import), name
        elif part == "__version__":
            assert own == "cli" or not at_import, name
        elif own == "encoder":
            assert part not in ("cli", "__main__"), name
        elif name == "sanrcodec.arithmetic.torchops":
            assert not at_import, name
        else:
            assert ORDER.index(part) <= ORDER.index(own), f"{own} imports {part}"


@pytest.mark.parametrize("package", LAYERS_INSIDE)
def test_layers_inside(package: str) -> None:
    order = LAYERS_INSIDE[package].split()
    files = sorted((PACKAGE / package).glob("*.py"))
    inner = [path.parent.name for path in (PACKAGE / package).glob("*/__init__.py")]
    if package == "io":
        # A layout needs no line there: it stands before the registry, so that no other imports it.
        new = [path.stem for path in files if path.stem not in (*order, "__init__")]
        order[order.index("registry") : order.index("registry")] = new
    assert set(order) == {*inner, *(path.stem for path in files)} - {"__init__"}, (
        "add the module to its layers"
    )
    for path in files:
        for name, _ in imports(path):
            if path.stem != "__init__" and name.startswith(f"sanrcodec.{package}."):
                other = name.split(".")[2]
                assert order.index(other) < order.index(path.stem), f"{path.stem} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_private_name_of_another_file(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sanrcodec"):
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            assert not [name for name in names if name.startswith("_")], node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_foreign_packages_stay_in_their_place(path: Path) -> None:
    own = unit(path)
    for name, at_import in imports(path):
        package = name.split(".")[0]
        if package == "torch":
            assert own == "encoder" or path.stem == "torchops"
        elif package == "triton":
            assert path.is_relative_to(PACKAGE / "encoder" / "kernels" / "device")
        elif package == "constriction":
            assert path.stem == "range_coder"
        elif package == "click":
            assert own == "cli"
        elif package == "PIL":
            assert own in ("io", "pillow_plugin")
            assert not at_import or own == "pillow_plugin"
        elif package == "dask":
            assert own == "array_interface"
            assert not at_import
        else:
            assert package in {*sys.stdlib_module_names, "numpy", "sanrcodec"}, name


def run(code: str, cwd: Path = ROOT) -> str:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


CALL = """
from sanrcodec.cli import main
def call(*arguments):
    try:
        main(list(arguments), prog_name="sanr")
    except SystemExit as stop:
        assert not stop.code, arguments
def loaded(*names):
    return [name for name in names if name in sys.modules]
"""


@pytest.mark.slow
def test_import_and_help_load_neither_torch_nor_pillow() -> None:
    assert run("import sanrcodec; print('torch' in sys.modules, 'PIL' in sys.modules)") == (
        "False False\n"
    )
    run(
        f"{CALL}\nfor a in ([], ['encode'], ['decode'], ['info'], ['verify']): call(*a, '--help')\n"
        "assert not loaded('torch', 'PIL')"
    )


def test_all_public_names_are_there_and_import_when_they_are_used() -> None:
    """So that `sanr` answers Tab, --version and Ctrl-C before numpy is there."""
    run(
        f"import sanrcodec\n{CALL}\ncall('--version')\nassert not loaded('numpy', 'constriction')\n"
        "assert set(sanrcodec.__all__) <= set(dir(sanrcodec))\n"
        "sanrcodec.limits.MAX_PIXELS, sanrcodec.errors.SanrError\n"
        "assert all(hasattr(sanrcodec, name) for name in sanrcodec.__all__)\n"
        "assert not hasattr(sanrcodec, 'decode')\n"
        "from sanrcodec import open, io\n"
        "from sanrcodec.decoder import open_sanr\n"
        "assert open is open_sanr is sanrcodec.open\n"
        "assert not loaded('torch', 'PIL')"
    )


def test_info_and_verify_load_neither_torch_nor_pillow() -> None:
    run(
        f"{CALL}\ncall('info', {str(VECTOR)!r}); call('verify', {str(VECTOR)!r})\n"
        "assert not loaded('torch', 'PIL')"
    )


def test_decoding_works_without_torch(tmp_path: Path) -> None:
    run(
        f"sys.modules['torch'] = None\n{CALL}\n"
        f"call('decode', {str(VECTOR)!r}, '--view', '1,1', '-o', 'x.png')\n"
        f"call('decode', {str(VECTOR)!r}, '--all', '-o', 'views')\n"
        f"call('decode', {str(VECTOR)!r}, '--mosaic', '-o', 'lf.png')",
        tmp_path,
    )
    assert (tmp_path / "x.png").stat().st_size > 100
    assert len(list((tmp_path / "views").iterdir())) == 9


def test_encoding_without_torch_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "sys.modules['torch'] = None\n"
        "import sanrcodec\n"
        "from sanrcodec.errors import MissingEncoderError\n"
        "assert hasattr(sanrcodec, 'encode')\n"
        "from sanrcodec import *\n"
        "try:\n    sanrcodec.encode(None)\n"
        "except MissingEncoderError as error:\n    print(error)\n"
        "from sanrcodec.cli import main\n"
        "main(['encode', 'lf.npy', '-o', 'x.sanr'], prog_name='sanr')"
    )
    np.save(tmp_path / "lf.npy", np.zeros((1, 1, 8, 8, 3), np.uint8))
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    message = "encoding needs PyTorch: pip install torch"
    assert f"'{message}'" in (ROOT / "tests" / "run_wheel.sh").read_text(encoding="utf-8")
    assert done.stdout == f"{message}\n"
    assert done.stderr.endswith(f"\nError: {message}\n")
    assert done.returncode == 1


def test_decoding_on_a_device_without_torch_says_what_to_install() -> None:
    message = run(
        "sys.modules['torch'] = None\n"
        "import sanrcodec\n"
        "from sanrcodec.errors import MissingEncoderError\n"
        f"try:\n    sanrcodec.open({str(VECTOR)!r}, device='cuda')\n"
        "except MissingEncoderError as error:\n    print(error)"
    )
    expected = "decoding on device cuda needs PyTorch: pip install torch\n"
    assert message == expected


def test_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sanrcodec", "--version"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("sanr ")
