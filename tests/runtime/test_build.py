"""Components from a plan's values: built-in ones and a user's own, by path."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from mfc.dsl import ir
from mfc.runtime.build import build, find
from mfc.runtime.errors import RunError


def own(tmp_path, source: str, name: str = "own.py"):
    file = tmp_path / name
    file.write_text(source)
    return lambda component, **args: ir.Call("layer", component, f"{file}:{component}", args)


def test_values_that_are_no_calls_stay():
    fact = ir.Fact("cifar.classes")
    assert build([1, None, "a", [True, 2.5], {"k": fact}]) == [1, None, "a", [True, 2.5], {"k": fact}]
    assert build((1, 2)) == [1, 2]


def test_calls_within_arguments_and_lists_are_carried_out(tmp_path):
    call = own(tmp_path, "def pair(a, b=0):\n    return (a, b)\ndef twice(x):\n    return [x, x]\n")
    inner = call("pair", a=1)
    assert build(inner) == (1, 0)
    assert build(call("pair", a=call("twice", x=inner), b=[inner])) == ([(1, 0), (1, 0)], [(1, 0)])


def test_a_file_is_run_once(tmp_path):
    call = own(tmp_path, "count = 0\ndef tick():\n    global count\n    count += 1\n    return count\n")
    assert [build(call("tick")) for _ in range(3)] == [1, 2, 3]


def test_files_of_one_name_do_not_meet(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    calls = [own(tmp_path / f, f"def name():\n    return '{f}'\n", "random.py") for f in ("a", "b")]
    assert [build(call("name")) for call in calls] == ["a", "b"]
    import random

    assert hasattr(random, "shuffle")  # nor with Python's own


def test_files_beside_can_be_imported(tmp_path):
    (tmp_path / "helper_beside.py").write_text("VALUE = 7\n")
    call = own(tmp_path, "from helper_beside import VALUE\ndef value():\n    return VALUE\n")
    assert build(call("value")) == 7


def test_what_a_file_defines_can_be_sent_to_a_fresh_process(tmp_path):
    call = own(tmp_path, "class flip:\n    def __call__(self, x):\n        return -x\n")
    sent = pickle.dumps(build(call("flip"))).hex()
    code = f"import pickle; print(pickle.loads(bytes.fromhex('{sent}'))(3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "-3"


@pytest.mark.parametrize(
    "source, component, message",
    [
        ("def (:\n", "f", "SyntaxError"),
        ("import no_such_module_anywhere\n", "f", "No module named 'no_such_module_anywhere'"),
        ("x = 1\n", "f", "has no attribute 'f'"),
        ("raise SystemExit(3)\n", "f", "SystemExit: 3"),
        ("raise KeyError\n", "f", "KeyError"),
    ],
)
def test_files_that_cannot_be_loaded(tmp_path, source, component, message):
    with pytest.raises(RunError) as caught:
        find(own(tmp_path, source)(component))
    assert caught.value.code == "R0251"
    assert message in caught.value.message and "own.py" in caught.value.message


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(RunError, match="R0251"):
        build(ir.Call("layer", "f", f"{tmp_path}/gone.py:f", {}))


def test_arguments_that_are_refused(tmp_path):
    call = own(tmp_path, "def f(a):\n    raise ValueError('a is odd')\n")
    with pytest.raises(RunError) as caught:
        build(call("f", a=3))
    assert caught.value.code == "R0252"
    assert caught.value.message == "`f` can't be built: ValueError: a is odd"
    with pytest.raises(RunError, match="unexpected keyword argument 'b'"):
        build(call("f", b=3))


def test_errors_meant_for_users_pass(tmp_path):
    source = "from mfc.runtime.errors import RunError\ndef f():\n    raise RunError('R0101', 'no folder')\n"
    with pytest.raises(RunError, match="R0101"):
        build(own(tmp_path, source)("f"))


def test_building_needs_no_torch():
    code = "import sys, mfc.runtime.build, mfc.runtime.user_files; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_file_that_was_changed_is_run_again(tmp_path):
    source = "def size():\n    return {}\n"
    call = own(tmp_path, source.format(1))
    assert build(call("size")) == 1
    own(tmp_path, source.format(22))
    assert build(call("size")) == 22
