"""Without PyTorch or JAX their modules say what to install."""

from __future__ import annotations

import importlib
import sys

import pytest
from small import simulator

import nbragg

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_what_to_install_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"nbragg.{name}")
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"nbragg.inverse.{name}_image", raising=False)
    assert getattr(nbragg, name) is module
    with pytest.raises(nbragg.MissingPackageError, match=rf"pip install 'nanobragg\[{name}\]'"):
        module.image(simulator(), {"crystal.cell.a": 70.0})
