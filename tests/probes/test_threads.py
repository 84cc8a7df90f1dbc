"""Tests of `tltk.probes.threads`."""

from threadpoolctl import threadpool_info

from tltk.probes.threads import threads_for


def test_small_matrices_use_one_thread():
    def blas_threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = blas_threads()
    with threads_for(1000):
        assert blas_threads() == [1] * len(before)
    with threads_for(10_000_000):
        assert blas_threads() == before
    assert blas_threads() == before
