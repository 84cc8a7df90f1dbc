import zipfile

import h5py
import numpy as np
import pytest

from tltk.errors import InvalidInput
from tltk.foundation import archives


def write(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_an_undamaged_archive_passes_and_a_flipped_bit_is_found(tmp_path):
    path = write(tmp_path / "a.keras", {"config.json": "{}", "weights": bytes(1000)})
    archives.check_archive(path)
    data = bytearray(path.read_bytes())
    data[data.index(bytes(900)) + 450] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"a.keras is damaged: the checksum of 'weights' is wrong"):
        archives.check_archive(path)
    for content in (b"", b"PK", data[:200], data[:-30]):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"a.keras is damaged"):
            archives.check_archive(path)


def test_a_decompression_bomb_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path / "bomb.npz", {"x.npy": bytes(80_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(InvalidInput, match=r"'x.npy' has 77,\d+ bytes that would expand to 80,000,000"):
        archives.check_archive(path)


def test_hdf5_files_that_refer_to_other_files_or_are_bombs_are_refused(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(3.0)
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.create_group("a/b")["x"] = np.arange(3.0)
        file.create_dataset("sparse", (100, 100), "f4")  # zeros that are not stored
    archives.check_hdf5(tmp_path / "good.h5")

    def link(file):
        file["a"] = h5py.ExternalLink("secret.h5", "/x")

    def soft(file):
        file.create_group("a")["y"] = h5py.SoftLink("/a")

    def external(file):
        file.create_dataset("a", (3,), "f8", external=[(str(tmp_path / "secret.h5"), 0, 24)])

    def virtual(file):
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", (3,))
        file.create_virtual_dataset("a", layout)

    def bomb(file):
        file.create_dataset("a", (2**40,), "f4", chunks=(2**20,), compression="gzip")

    for number, (make, reason) in enumerate(
        [
            (link, r"/a is a link to secret.h5/x"),
            (soft, r"/a/y is a link to /a"),
            (external, r"the values of /a are in other files"),
            (virtual, r"the values of /a are in other files"),
            (bomb, r"/a claims 4,398,046,511,104 bytes in a file of"),
        ]
    ):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            make(file)
        with pytest.raises(InvalidInput, match=rf"{number}.h5 is refused: {reason}"):
            archives.check_hdf5(tmp_path / f"{number}.h5")
    (tmp_path / "no.h5").write_bytes(b"no")
    with pytest.raises(InvalidInput, match="is not an HDF5 file, or is damaged"):
        archives.check_hdf5(tmp_path / "no.h5")
