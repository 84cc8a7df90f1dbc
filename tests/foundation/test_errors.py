"""The public exceptions."""

import pytest

from tltk.foundation import errors

PUBLIC = [value for value in vars(errors).values() if isinstance(value, type)]


@pytest.mark.parametrize("error", PUBLIC, ids=lambda error: error.__name__)
def test_every_public_exception_is_a_tltk_error_and_documented(error):
    assert issubclass(error, errors.TltkError)
    assert error.__doc__
