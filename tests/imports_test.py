"""Who may import whom: the packages stay apart and the imports run one way."""

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("vrt_spike_jax", "data_pipeline", "configs")

# Top-level names that nothing in the package may import, not even inside a function.
FORBIDDEN = {
    "vrt_spike_jax": {
        "tensorflow",
        "tensorflow_datasets",
        "array_record",
        "absl",
        "data_pipeline",
        "configs",
        "launch",
    },
    "data_pipeline": {
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "orbax",
        "vrt_spike_jax",
        "configs",
        "launch",
    },
    "configs": {"tensorflow", "flax", "vrt_spike_jax", "data_pipeline", "launch"},
}

# A module of vrt_spike_jax imports from its own layer or from a lower one, never from a
# higher one, and never in a circle.
LAYERS = (
    {"official_tasks"},
    {"models"},
    {"configured_model", "collectives", "topology"},
    {
        "losses",
        "metrics",
        "official_layout",
        "official_weights",
        "feature_weights",
        "atomic_file",
        "agreement",
        "preemption",
    },
    {"train_step", "train_state", "train_log", "optimizer", "sharding", "checkpoint"}
    | {"stages", "units"}
    | {"discriminator_state", "saved_config", "workdir_lock"},
    {
        "official_files",
        "feature_files",
        "loss_networks",
        "initial_weights",
        "pretrained",
        "tiles",
        "official_tiling",
        "frame_source",
        "restorer",
        "instants",
        "clip_restorer",
        "clip_streams",
        "video_gain",
        "restore",
        "restore_chain",
        "export",
    },
    {"train", "evaluate", "report", "compile_check", "compile_report"}
    | {"evaluation_run", "scores", "shared_clips", "validation"}
    | {"ablation", "ablation_report", "robustness"},
)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, *, at_once: bool = False) -> set[str]:
    """Every module that a file imports, at any depth, with relative names resolved.

    `from a import b` counts as `a.b`, since b may be a module. With `at_once`, only
    those that are imported with the file, not when one of its functions runs.
    """
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _nodes_run_at_once(tree) if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{prefix}.{alias.name}" for alias in node.names)
    return names


def _nodes_run_at_once(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _nodes_run_at_once(child)


def layer_of(module: str) -> int | None:
    """The layer of a module of vrt_spike_jax; None for the package itself."""
    parts = module.split(".")
    if len(parts) < 2:
        return None
    for index, members in enumerate(LAYERS):
        if parts[1] in members:
            return index
    return None


ALL_SOURCES = [path for package in PACKAGES for path in sources(package)]
ALL_MODULES = sorted({module_name(path) for path in ALL_SOURCES} | {"launch"})


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_nothing_forbidden(package):
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in sorted(imported_modules(path))
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert sources(package), f"no sources under {ROOT / package}"
    assert not found, "\n".join(found)


def test_every_module_of_the_package_has_a_layer():
    known = set().union(*LAYERS)
    names = {path.relative_to(ROOT).parts[1] for path in sources("vrt_spike_jax")}
    modules = {name.removesuffix(".py") for name in names} - {"__init__"}
    assert modules <= known, f"give these a layer in LAYERS: {sorted(modules - known)}"


def test_imports_run_from_upper_to_lower_layers():
    found = []
    for path in sources("vrt_spike_jax"):
        own = layer_of(module_name(path))
        if own is None:
            continue
        for name in sorted(imported_modules(path)):
            if not name.startswith("vrt_spike_jax"):
                continue
            other = layer_of(name)
            if other is None:
                found.append(f"{path.name} imports the package itself ({name})")
            elif other > own:
                found.append(f"{path.relative_to(ROOT)} imports upwards: {name}")
    assert not found, "\n".join(found)


def test_no_import_cycles():
    graph = {
        module_name(path): {
            module
            for name in imported_modules(path)
            for module in (name, name.rpartition(".")[0])
            if module in ALL_MODULES and module != module_name(path)
        }
        for path in sources("vrt_spike_jax") + sources("data_pipeline")
    }
    # An __init__ re-exports its submodules; a submodule naming its package is no cycle
    # unless it takes a re-exported name, which the layer test above refuses.
    packages = {m for m in graph if any(o.startswith(f"{m}.") for o in graph)}
    graph = {m: edges - packages for m, edges in graph.items() if m not in packages}
    while leaves := {m for m, edges in graph.items() if not edges & set(graph)}:
        graph = {m: edges for m, edges in graph.items() if m not in leaves}
    assert not graph, f"these modules import each other: {sorted(graph)}"


@pytest.mark.parametrize("module", ALL_MODULES)
def test_module_imports(module):
    importlib.import_module(module)


def test_package_works_where_tensorflow_is_not_installed():
    blocked = ("tensorflow", "tensorflow_datasets", "clu", "torch")
    modules = [m for m in ALL_MODULES if m.startswith("vrt_spike_jax")]
    lines = [
        "import sys, importlib",
        # None in sys.modules makes an import fail as if nothing were installed.
        *(f"sys.modules[{name!r}] = None" for name in blocked),
        *(f"importlib.import_module({name!r})" for name in modules),
        "assert 'data_pipeline' not in sys.modules and 'configs' not in sys.modules",
    ]
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_every_library_that_is_imported_is_in_the_requirements():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    declared = {_canonical(name) for name in re.findall(r"(?m)^[\w-]+", text)}
    optional = declared | _optional_libraries()
    found = []
    # A name may come from several distributions: tensorflow from tensorflow-cpu.
    providers = importlib.metadata.packages_distributions()
    for path in [*ALL_SOURCES, ROOT / "launch.py"]:
        for top in sorted({name.split(".")[0] for name in imported_modules(path)}):
            if top in sys.stdlib_module_names or top in {*PACKAGES, "launch"}:
                continue
            # What an extra installs may be imported inside the function that uses it.
            at_once = top in {
                name.split(".")[0] for name in imported_modules(path, at_once=True)
            }
            allowed = declared if at_once else optional
            if not allowed & {_canonical(name) for name in providers.get(top, [top])}:
                found.append(f"{path.relative_to(ROOT)} imports {top}")
    assert not found, "\n".join(found)


def _optional_libraries() -> set[str]:
    """What the extras of pyproject.toml install, the tools of the tests apart."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    return {
        _canonical(re.match(r"[\w-]+", requirement)[0])
        for extra, requirements in extras.items()
        if extra != "test"
        for requirement in requirements
    }


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_launch_alone_sees_both_packages():
    tops = {name.split(".")[0] for name in imported_modules(ROOT / "launch.py")}
    assert {"vrt_spike_jax", "data_pipeline"} <= tops
