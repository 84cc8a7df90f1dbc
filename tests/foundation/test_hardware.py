import os
from functools import partial

import keras
import pytest

from tltk.foundation import hardware as machine


@pytest.mark.parametrize(
    ("capability", "instructions", "fast", "expected"),
    [
        ((9, 0), False, False, "mixed_bfloat16"),
        ((8, 0), False, False, "mixed_bfloat16"),
        ((7, 5), False, True, "mixed_float16"),
        ((6, 1), True, True, "float32"),
        (None, True, True, "mixed_bfloat16"),
        (None, True, False, "float32"),
        (None, False, True, "float32"),
    ],
)
def test_precision_follows_the_hardware(monkeypatch, capability, instructions, fast, expected):
    monkeypatch.setattr(machine, "gpu_capability", lambda: capability)
    monkeypatch.setattr(machine, "has_bfloat16_instructions", lambda: instructions)
    assert machine.precision("auto", fast_bfloat16=fast) == expected
    assert machine.precision("float32", fast_bfloat16=fast) == "float32"


def test_an_unknown_precision_raises_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"`precision` must be one of .*Did you mean 'mixed_float16'"):
        machine.precision("float16")


def test_bfloat16_instructions_are_found_in_the_cpu_flags(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags\t\t: fpu avx512_bf16 sse\n")
    assert machine.has_bfloat16_instructions(str(info))
    info.write_text("processor : 0\nflags\t\t: fpu avx512_bf16x sse\n")
    assert not machine.has_bfloat16_instructions(str(info))
    assert not machine.has_bfloat16_instructions(str(tmp_path / "missing"))


def test_xla_is_off_without_a_gpu(monkeypatch):
    monkeypatch.setattr(machine, "gpu_capability", lambda: None)
    assert machine.jit_compile() is False
    monkeypatch.setattr(machine, "gpu_capability", lambda: (8, 0))
    assert machine.jit_compile() == "auto"


def test_the_global_dtype_policy_is_restored_even_after_an_error():
    with pytest.raises(RuntimeError), machine.dtype_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise RuntimeError
    assert keras.config.dtype_policy().name == "float32"


def test_free_memory_is_positive_and_below_the_installed_memory():
    assert 0 < machine.free_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_free_memory_respects_the_limit_of_a_container(tmp_path):
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert machine.free_memory(str(tmp_path)) == 300_000
    (tmp_path / "memory.current").write_text("1000001\n")
    assert machine.free_memory(str(tmp_path)) == 0
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 1000\n")
    assert machine.free_memory(str(tmp_path)) == 999, "cached pages of files are free"
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory(str(tmp_path)) > 1_000_000


def test_free_memory_respects_the_limits_of_the_groups_of_this_process(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/job/step\n3:cpu,cpuacct:/\n0::/slice/unit\n")
    free = partial(machine.free_memory, str(tmp_path), str(membership))
    assert free() > 1_000_000
    for folder, names, limit in (
        ("memory/job/step", ("memory.limit_in_bytes", "memory.usage_in_bytes"), 900_000),
        ("memory/job", ("memory.limit_in_bytes", "memory.usage_in_bytes"), 800_000),
        ("slice", ("memory.max", "memory.current"), 700_000),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / names[0]).write_text(f"{limit}\n")
        (tmp_path / folder / names[1]).write_text("100000\n")
        assert free() == limit - 100_000


def test_only_glibc_is_configured_to_keep_freed_memory(monkeypatch):
    options_set = []

    class Library:
        mallopt = staticmethod(lambda option, value: options_set.append((option, value)))

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: Library())
    machine.keep_freed_memory()
    assert {option for option, _ in options_set} == {-1, -2, -3}
    assert all(0 < value < 2**31 for _, value in options_set)
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())
    machine.keep_freed_memory()
    assert len(options_set) == 3
