"""The house stays small: the budgets of the design, measured on the code itself. Raise one only with a reason in the commit."""

import ast
import statistics
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = sorted([*ROOT.glob("agent/**/*.py"), *ROOT.glob("models/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
OWN_BASES = {"BaseModel", "BaseSettings", "Exception", "ValueError", "RuntimeError", "Protocol", "Module", "Dataset"}
"""What a class may derive from: exceptions, protocols, and what a library demands."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def nodes(*kinds: type[ast.AST]) -> list[tuple[Path, ast.AST]]:
    return [
        (path.relative_to(ROOT), node) for path in CODE for node in ast.walk(parsed(path)) if isinstance(node, kinds)
    ]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def written(path: Path) -> int:
    """Lines that are not blank: how many of those there are is the formatter's decision."""
    return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())


def functions() -> list[tuple[int, str]]:
    found = nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    return sorted((node.end_lineno - node.lineno + 1, f"{path}:{node.name}") for path, node in found)


def test_files_are_short():
    assert [(str(path), lines(path)) for path in CODE if lines(path) > 350] == []
    assert statistics.median(written(path) for path in CODE if path.name != "__init__.py") <= 120


def test_functions_are_short():
    lengths = [length for length, _ in functions()]
    assert [function for function in functions() if function[0] > 60] == []
    assert statistics.median(lengths) <= 9
    assert lengths[int(0.9 * (len(lengths) - 1))] <= 28


def test_classes_have_at_most_12_methods():
    def methods(node):
        return sum(isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) for child in node.body)

    assert [(str(path), node.name, methods(node)) for path, node in nodes(ast.ClassDef) if methods(node) > 12] == []


def test_functions_have_at_most_6_parameters():
    def parameters(node):
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        return [name for name in names if name not in {"self", "cls"}]

    found = nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    assert [(str(path), node.name) for path, node in found if len(parameters(node)) > 6] == []


def test_only_a_call_and_a_tool_catch_everything():
    """A tool is a function that somebody else wrote: a fault domain, as a call is."""

    def broad(handler):
        names = {name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)} if handler.type else {"bare"}
        return names & {"bare", "Exception", "BaseException"}

    assert [str(path) for path, node in nodes(ast.ExceptHandler) if broad(node)] == [
        "agent/server.py",
        "agent/tools/__init__.py",
    ]


def test_no_base_classes_of_our_own():
    def foreign(base):
        return ast.unparse(base).split("[")[0].split(".")[-1] in OWN_BASES

    derived = [(path, node) for path, node in nodes(ast.ClassDef) if not all(map(foreign, node.bases))]
    own = {node.name for _, node in nodes(ast.ClassDef)}
    ours = [
        (str(path), node.name)
        for path, node in derived
        if {ast.unparse(base).split(".")[-1] for base in node.bases} & own
    ]
    assert [(path, name) for path, name in ours if not name.endswith("Error")] == []


def test_there_is_a_line_of_test_for_each_line_of_code():
    assert sum(map(lines, TESTS)) >= sum(lines(path) for path in CODE if "demo" not in path.parts) * 1.0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository's history")
def test_the_repository_holds_no_large_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    sizes = {name: (ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file()}
    assert sum(size for name, size in sizes.items() if name.startswith("models/demo/")) <= 20e6
    assert [name for name, size in sizes.items() if size > 1e6 and not name.startswith("models/demo/")] == []
