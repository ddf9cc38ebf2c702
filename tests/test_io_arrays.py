# SPDX-License-Identifier: MIT
"""Arrays in files of numpy, MATLAB and HDF5: orders of axes, choice of the array, damage."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from io_inputs import assert_reads, noise, refuses

from sanrcodec.errors import LightFieldError
from sanrcodec.io import bombs, read_light_field, stored


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_npy(tmp_path, dtype):
    samples = noise((2, 3, 6, 5, 3), 8 * np.dtype(dtype).itemsize)
    np.save(tmp_path / "lf.npy", samples.astype(dtype))
    bit_depth = 8 * samples.dtype.itemsize
    assert assert_reads(tmp_path / "lf.npy", samples, bit_depth) == ""
    refuses("contradicts --grid 3x2; VxU is rows first", tmp_path / "lf.npy", grid=(3, 2))
    gray = samples.reshape(2, 9, 6, 5)
    np.save(tmp_path / "gray.npy", gray.astype(dtype))
    assert_reads(tmp_path / "gray.npy", gray[..., None], bit_depth)
    (tmp_path / "lf.npy").rename(tmp_path / "LF.NPY")
    assert_reads(tmp_path / "LF.NPY", samples, bit_depth)
    (tmp_path / "LF.NPY").rename(tmp_path / "lf.dat")
    assert_reads(tmp_path / "lf.dat", samples, bit_depth)


# The axes of vuhwc in another order, and whether the shape alone tells it.
ORDERS = [("vuhwc", True), ("hwvuc", False), ("vuchw", True), ("hwcvu", False), ("uvhwc", None)]


@pytest.mark.parametrize(("axes", "clear"), ORDERS)
def test_order_of_axes(tmp_path, axes, clear):
    samples = noise((3, 4, 12, 16, 3))
    array = samples.transpose(["vuhwc".index(axis) for axis in axes])
    for layout in ("C", "F"):
        np.save(tmp_path / "lf.npy", np.asarray(array, order=layout))
        assert_reads(tmp_path / "lf.npy", samples, axes=axes)
        assert_reads(tmp_path / "lf.npy", samples, axes=axes.upper(), grid=(3, 4))
        if clear:
            notes = assert_reads(tmp_path / "lf.npy", samples)
            assert (f"is read as {axes}" in notes) == (axes != "vuhwc")
    if clear is False:
        refuses(f"may be .* or {axes}.*; add --axes, for example", tmp_path / "lf.npy")
        assert_reads(tmp_path / "lf.npy", samples, grid=(3, 4))


@pytest.mark.parametrize(
    ("grid", "axes"), [((5, 3), "hwvuc"), ((3, 5), "hwcvu"), ((2, 2), "hwcvu")]
)
def test_shape_that_only_one_order_fits(tmp_path, grid, axes):
    samples = noise((*grid, 80, 90, 3))
    np.save(tmp_path / "lf.npy", samples.transpose(["vuhwc".index(axis) for axis in axes]))
    assert f"is read as {axes}" in assert_reads(tmp_path / "lf.npy", samples)


def test_channels_and_views_that_a_shape_does_not_tell_apart(tmp_path):
    samples = noise((3, 3, 80, 90, 3))
    np.save(tmp_path / "lf.npy", samples.transpose(2, 3, 4, 0, 1))
    refuses("may be hwvuc or hwcvu; add --axes", tmp_path / "lf.npy")
    assert_reads(tmp_path / "lf.npy", samples, axes="hwcvu")


@pytest.mark.parametrize("grid", [(3, 5), (1, 9), (3, 1)])
def test_reversed_axes_are_asked_where_the_shape_allows_both(tmp_path, grid):
    samples = noise((*grid, 40, 64, 3))
    np.save(tmp_path / "lf.npy", samples)
    assert_reads(tmp_path / "lf.npy", samples)
    np.save(tmp_path / "lf.npy", samples.transpose(4, 3, 2, 1, 0))
    refuses("may be vuhwc .*or cwhuv; add --axes", tmp_path / "lf.npy")
    assert_reads(tmp_path / "lf.npy", samples, axes="cwhuv")
    assert_reads(tmp_path / "lf.npy", samples, grid=grid)


def test_gray_mosaics_with_parted_axes_are_asked_about(tmp_path):
    samples = noise((7, 5, 50, 60, 1))
    path = tmp_path / "lf.npy"
    np.save(path, samples[..., 0].transpose(0, 2, 1, 3))  # [V, H, U, W]
    refuses("may be vuhw .*or vhuw; add --axes", path)
    assert_reads(path, samples, axes="vhuw")
    assert_reads(path, samples, grid=(7, 5))
    low = noise((1, 20, 8, 30, 1))  # one row is one
    np.save(path, low[..., 0])
    assert_reads(path, low)


def test_doubtful_shape_is_asked(tmp_path):
    np.save(tmp_path / "lf.npy", noise((48, 48, 3, 3, 3)))
    refuses(
        "may be vuhwc or hwvuc or hwcvu; add --axes, for example --axes hwvuc$", tmp_path / "lf.npy"
    )
    np.save(tmp_path / "lf.npy", noise((15, 20, 30, 3)))
    refuses("for example --axes nhwc --grid VxU$", tmp_path / "lf.npy")


@pytest.mark.parametrize("axes", ["nhwc", "nchw", "nhw"])
def test_views_in_one_row_of_an_array(tmp_path, axes):
    samples = noise((2, 6, 8, 9, 1 if axes == "nhw" else 3))
    array = samples.reshape(12, 8, 9, -1)
    array = array[..., 0] if axes == "nhw" else array
    array = array.transpose(["nhwc".index(axis) for axis in axes])
    np.save(tmp_path / "lf.npy", array)
    refuses("add --axes|12 views and does not tell their grid; add --grid", tmp_path / "lf.npy")
    assert_reads(tmp_path / "lf.npy", samples, grid=(2, 6))
    refuses("12 views, but --grid 3x3 needs 9", tmp_path / "lf.npy", grid=(3, 3), axes=axes)
    by_column = samples.reshape(6, 2, 8, 9, -1).swapaxes(0, 1)
    assert_reads(tmp_path / "lf.npy", by_column, grid=(2, 6), order="columns")


@pytest.mark.parametrize(
    ("axes", "message"),
    [("vuhw", "do not fit shape"), ("vuhhc", "wrong form"), ("vuxyc", "wrong form"),
     ("chwvu", "do not fit shape"), ("", "wrong form")],
)  # fmt: skip
def test_wrong_axes(tmp_path, axes, message):
    np.save(tmp_path / "lf.npy", noise((2, 3, 6, 5, 3)))
    refuses(message, tmp_path / "lf.npy", axes=axes)


def test_depth_of_an_array(tmp_path):
    samples = noise((1, 2, 4, 5, 3), 10)
    np.save(tmp_path / "lf.npy", samples)
    notes = assert_reads(tmp_path / "lf.npy", samples, 10)
    assert "no sample of 16 bits needs more than 10, read as 10 bit" in notes
    assert_reads(tmp_path / "lf.npy", samples, 12, bit_depth=12)
    refuses("9 bits hold 0..511", tmp_path / "lf.npy", bit_depth=9)


@pytest.mark.parametrize("dtype", ["i4", "f4", "f8", "?", "i1", "u4"])
def test_other_samples_are_refused(tmp_path, dtype):
    np.save(tmp_path / "lf.npy", noise((2, 2, 4, 5, 3)).astype(dtype))
    refuses(f"samples are {np.dtype(dtype)}; save it as uint8 or uint16", tmp_path / "lf.npy")


def test_options_that_say_nothing_of_an_array(tmp_path):
    np.save(tmp_path / "lf.npy", noise((2, 2, 4, 5, 3)))
    refuses("--order says nothing about axes vuhwc", tmp_path / "lf.npy", order="columns")
    refuses("holds one array; leave out --dataset", tmp_path / "lf.npy", dataset="LF")


def test_one_image_is_no_light_field(tmp_path):
    np.save(tmp_path / "lf.npy", noise((16, 20, 3)))
    refuses("looks like one image", tmp_path / "lf.npy")
    assert_reads(tmp_path / "lf.npy", noise((16, 20, 3))[None, ..., None], axes="nhw", grid=(1, 16))


def test_arrays_that_are_one_view_each(tmp_path):
    np.savez(tmp_path / "lf.npz", **{f"view{n}": noise((4, 5, 3)) for n in range(4)})
    refuses("if each is a view, save them as one", tmp_path / "lf.npz")
    np.savez(tmp_path / "empty.npz")
    refuses("holds no arrays", tmp_path / "empty.npz")


def test_alpha_in_an_array(tmp_path):
    samples = noise((2, 2, 8, 5, 3))
    opaque = np.concatenate([samples, np.full((2, 2, 8, 5, 1), 255, np.uint8)], axis=4)
    np.save(tmp_path / "lf.npy", opaque)
    assert_reads(tmp_path / "lf.npy", samples)
    opaque[1, 1, 0, 0, 3] = 0
    np.save(tmp_path / "lf.npy", opaque)
    refuses("1 pixel is transparent", tmp_path / "lf.npy")


def test_npy_refused(tmp_path):
    path = tmp_path / "lf.npy"
    for content, message in [
        (np.zeros((4, 5, 6, 3), np.uint8), "may be .*nhwc.*; add --axes"),
        (np.full((1, 1, 4, 5, 3), np.nan), "float64; save it as uint8 or uint16 first"),
        (np.zeros((4, 4), np.uint8), "expected \\[V, U, H, W, C\\]"),
        (np.zeros((70, 70, 70, 70, 3), np.uint8), "no light field, expected \\[V, U, H, W, C\\]"),
        (np.array([None]), "damaged or holds objects"),
    ]:
        np.save(path, content)
        refuses(message, path)
    np.save(path, np.zeros((1, 1, 4, 5, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    refuses("damaged", path)
    path.write_bytes(b"")
    refuses("damaged", path)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
@pytest.mark.parametrize("axes", ["vuhwc", "hwvuc"])
def test_large_arrays_stay_on_disk(tmp_path, monkeypatch, dtype, axes):
    samples = noise((2, 3, 4, 5, 3), 8 * np.dtype(dtype).itemsize)
    np.save(tmp_path / "lf.npy", samples.transpose(["vuhwc".index(a) for a in axes]).astype(dtype))
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", samples.nbytes - 1)
    light_field = read_light_field(tmp_path / "lf.npy", axes=axes)
    assert isinstance(light_field.samples, stored.FileSamples)
    assert light_field.shape == samples.shape
    assert light_field.view(1, 2).dtype == light_field.samples.dtype == samples.dtype
    np.testing.assert_array_equal(light_field.view(1, 2), samples[1, 2])
    np.testing.assert_array_equal(light_field.samples, samples)
    assert light_field.largest_sample() == samples.max()
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", samples.nbytes)
    assert isinstance(read_light_field(tmp_path / "lf.npy", axes=axes).samples, np.ndarray)


def test_stored_light_field_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    np.save(tmp_path / "lf.npy", noise((2, 2, 4, 5, 3), 16))
    refuses("a sample is", tmp_path / "lf.npy", bit_depth=10)
    light_field = read_light_field(tmp_path / "lf.npy")
    with (tmp_path / "lf.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(LightFieldError, match="cut short"):
        light_field.view(1, 1)


def test_small_files_that_claim_much_are_refused(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "lf.h5", "w") as file:  # nothing of it is stored
        file.create_dataset("LF", (64, 64, 8192, 8192, 3), np.uint8, chunks=(1, 1, 64, 64, 3))
    refuses("lf.h5: array LF: .* bytes claim 786432 MiB of samples", tmp_path / "lf.h5")
    black = np.zeros((3, 3, 256, 256, 3), np.uint8)
    monkeypatch.setattr(bombs, "_FREE_BYTES", black.nbytes)
    save_npz_compressed(tmp_path / "lf.npz", {"LF": black})
    assert_reads(tmp_path / "lf.npz", black)
    monkeypatch.setattr(bombs, "_FREE_BYTES", black.nbytes - 1)
    refuses("lf.npz: array LF: .* bytes claim 1 MiB of samples", tmp_path / "lf.npz")


# Files of several arrays


def save_npz(path, arrays):
    np.savez(path, **arrays)


def save_npz_compressed(path, arrays):
    np.savez_compressed(path, **arrays)


def save_mat(path, arrays):
    pytest.importorskip("scipy.io").savemat(path, arrays, do_compression=True)


def save_hdf5(path, arrays):
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=True, compression="gzip")


def save_mat73(path, arrays):
    """As MATLAB does: axes reversed, a user block of 512 bytes, its class as an attribute."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            data = file.create_dataset(name, data=array.T, chunks=True, compression="gzip")
            data.attrs["MATLAB_class"] = np.bytes_(str(array.dtype))
        file.create_group("#refs#").create_dataset("a", data=np.zeros((2, 2, 9, 9), np.uint8))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b"\0"))


FORMATS = [
    ("lf.npz", save_npz),
    ("lf.NPZ", save_npz_compressed),
    ("lf.mat", save_mat),
    ("lf73.mat", save_mat73),
    ("lf.h5", save_hdf5),
    ("lf.hdf5", save_hdf5),
]


@pytest.mark.parametrize(("name", "save_arrays"), FORMATS)
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_file_of_arrays(tmp_path, name, save_arrays, bit_depth):
    samples = noise((2, 3, 6, 5, 3), bit_depth)
    path = tmp_path / name
    depth = np.ones((2, 3, 6, 5), np.float32)
    saved = tmp_path / name.lower()
    save_arrays(saved, {"views": samples, "GT_DEPTH": depth})
    saved.rename(path)
    notes = assert_reads(path, samples, bit_depth)
    assert "array views is the light field; left out: GT_DEPTH" in notes
    assert_reads(path, samples, bit_depth, dataset="views", grid=(2, 3))
    refuses("there is no array 'LF', only .*views \\(2, 3, 6, 5, 3\\) uint", path, dataset="LF")
    refuses("float", path, dataset="GT_DEPTH", axes="vuhw")


@pytest.mark.parametrize(("name", "save_arrays"), FORMATS)
def test_which_of_several_arrays(tmp_path, name, save_arrays):
    samples = noise((2, 3, 6, 5, 3))
    paths = [tmp_path / f"{number}{name.lower()}" for number in range(3)]
    save_arrays(paths[0], {"a": samples, "b": samples})
    refuses("which array is the light field\\? Add --dataset", paths[0])
    assert_reads(paths[0], samples, dataset="b")
    save_arrays(paths[1], {"a": samples, "LF": samples[:, :2]})
    assert_reads(paths[1], samples[:, :2])
    save_arrays(paths[2], {"a": samples.astype(np.float32)})
    refuses("no array of 8 or 16 unsigned bits .*float32", paths[2])


@pytest.mark.parametrize("kind", ["cell", "struct"])
def test_views_in_cells_or_structs(tmp_path, kind):
    scipy_io = pytest.importorskip("scipy.io")
    cell = np.empty((2, 3), object)
    for place in np.ndindex(cell.shape):
        cell[place] = noise((6, 5, 3))
    content = {"cell": {"views": cell}, "struct": {"S": {"LF": noise((2, 3, 6, 5, 3))}}}
    scipy_io.savemat(tmp_path / "lf.mat", content[kind])
    refuses("save the views of cells or structs as one uint8 or", tmp_path / "lf.mat")


@pytest.mark.parametrize(("name", "save_arrays"), [FORMATS[2], FORMATS[3]])
def test_weight_of_lftoolbox_is_left_out(tmp_path, name, save_arrays):
    samples = noise((2, 3, 6, 5, 4), 16)
    save_arrays(tmp_path / name, {"LF": samples})
    assert "the fourth channel" in assert_reads(tmp_path / name, samples[..., :3], 16)


@pytest.mark.parametrize(("name", "save_arrays"), FORMATS)
def test_damaged_files_of_arrays(tmp_path, name, save_arrays):
    path = tmp_path / name.lower()
    save_arrays(path, {"LF": noise((2, 3, 6, 5, 3))})
    content = path.read_bytes()
    for length in (len(content) // 2, 600, 20, 0):
        path.write_bytes(content[:length])
        refuses("damaged|no array", path)


@pytest.mark.parametrize(("name", "save_arrays"), FORMATS)
def test_damaged_samples_of_arrays(tmp_path, name, save_arrays):
    path = tmp_path / name.lower()
    save_arrays(path, {"LF": noise((2, 3, 64, 60, 3))})
    content = path.read_bytes()
    place = len(content) // 2  # within what is compressed
    path.write_bytes(content[:place] + bytes(64) + content[place + 64 :])
    refuses("damaged", path)


@pytest.mark.parametrize(
    ("name", "save_arrays", "module"), [(*FORMATS[2], "scipy.io"), (*FORMATS[4], "h5py")]
)
def test_missing_package_is_named(tmp_path, monkeypatch, name, save_arrays, module):
    save_arrays(tmp_path / name, {"LF": noise((2, 3, 6, 5, 3))})
    monkeypatch.setitem(sys.modules, module, None)
    package = module.split(".")[0]
    refuses(f"needs {package}: pip install {package}", tmp_path / name)
