"""Makes components of a plan's values: imports what a call names and calls it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from mfc.dsl import ir
from mfc.runtime.errors import RunError


def build(value: Any) -> Any:
    """A value with every call in it carried out, innermost first; a file is its path, all that is no
    call, list or mapping stays.

    Raises RunError R0251 where a component's file or name can't be loaded, and R0252 where it refuses its
    arguments.
    """
    if isinstance(value, ir.Call):
        component = find(value)
        args = {name: build(argument) for name, argument in value.args.items()}
        try:
            return component(**args)
        except RunError:
            raise
        except Exception as error:  # whatever a user's code raises
            message = f"`{value.name}` can't be built: {_said(error)}"
            raise RunError("R0252", message, help=f"its definition is in {value.target}") from error
    if isinstance(value, list | tuple):
        return [build(item) for item in value]
    if isinstance(value, Mapping):
        return {key: build(item) for key, item in value.items()}
    return value.path if isinstance(value, ir.File) else value


def find(call: ir.Call) -> Any:
    """The function or class that a call names, imported. Raises RunError R0251 where that fails."""
    module, _, name = call.target.rpartition(":")
    try:
        if module.endswith(".py"):
            from mfc.runtime import user_files

            return getattr(user_files.load(module), name)
        return getattr(importlib.import_module(module), name)
    except RunError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's file does when it is run
        message = f"`{call.name}` can't be loaded from {module}: {_said(error)}"
        raise RunError("R0251", message, help="run the file with Python to see where it fails") from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
