"""How far from the machine's limit a training step is: ``python benchmarks/limits.py [--quick]``.

The limit is what a backend's own product of two large matrices reaches, measured in the same process just before and
after the steps. Against it stands what a step has to compute: the multiplications and additions of the convolutions
and dense layers, counted from the model's layers. On TensorFlow the count is held against TensorFlow's own of the
graph of the step. What the rest goes to is read from each backend's profiler.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pairs import in_fresh_process, in_turn, machine, table

from reglab.backends import installed

NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
NAMES = {backend: name for backend, name in NAMES.items() if backend in installed()}
NETWORKS = {"inception": "pooled Inception", "resnet": "ResNet-20"}
BATCH, SIDE, CLASSES = 100, 32, 10
MATRIX, PRODUCTS = 2048, 8  # side of the matrices, and how many products of them are timed
STEPS, PROFILED = 40, 10

FORWARD, INPUTS = "convolutions, forward", "convolutions, gradient of inputs"
WEIGHTS, BOTH = "convolutions, gradient of weights", "convolutions, both gradients in one operation"
POOLING, JOINING = "pooling", "concatenation, slices, padding"
ARITHMETIC, COPIES = "activations, normalization, sums", "copies and changes of layout"
OPTIMIZER, REST = "optimizer", "everything else"
GROUPS = (FORWARD, INPUTS, WEIGHTS, BOTH, POOLING, JOINING, ARITHMETIC, COPIES, OPTIMIZER, REST)

# What an operation belongs to: the first pattern found in its text. The text is on TensorFlow "scope:operation", on JAX
# "name of the source operation:operations fused into it", on PyTorch "operation < its caller < ...".
RULES = {
    "tensorflow": (
        (WEIGHTS, r"BackpropFilter|gradient_tape.*:.*MatMul"),
        (INPUTS, r"BackpropInput"),
        (FORWARD, r":.*(Conv2D|MatMul)"),
        (OPTIMIZER, r"^adam/"),
        (POOLING, r":.*Pool|/average"),
        (JOINING, r":.*(Concat|Slice|Split|Pad)"),
        (ARITHMETIC, r"norm|relu|:.*(Relu|Add|Bias)"),
        (COPIES, r":.*(Transpose|Copy|ToTf)"),
    ),
    "jax": (
        (WEIGHTS, r":.*\b(convolution|dot)\b.*:kernel"),
        (FORWARD, r"^jvp.*:.*\b(convolution|dot)\b"),
        (INPUTS, r":.*\b(convolution|dot)\b"),
        (OPTIMIZER, r"adam"),
        (POOLING, r"reduce.window|scatter|\(average\)"),
        (JOINING, r":.*\b(concatenate|slice|pad)\b"),
        (ARITHMETIC, r"norm|relu|:.*\b(add|multiply|maximum|reduce|select)\b"),
        (COPIES, r":.*\b(copy|transpose)\b"),
    ),
    "torch": (
        (COPIES, r"^aten::(copy_|clone|contiguous|_to_copy)"),
        (BOTH, r"ConvolutionBackward|(Mm|Addmm)Backward"),
        (FORWARD, r"aten::(conv2d|matmul|linear)"),
        (OPTIMIZER, r"_foreach"),
        (POOLING, r"[pP]ool2"),
        (JOINING, r"aten::(cat|slice|pad|narrow)|(Cat|Slice|Pad\w*)Backward"),
        (ARITHMETIC, r"^aten::(add|mul|sub|div|pow|sum|mean|neg|rsqrt|clamp|threshold|relu|square|fill|zero)"),
    ),
}
READING = (
    "Times of operations are those of the threads that start them, with the profiler on. Operations run beside each "
    "other, and threads that help are not seen, so the sum is not the time of a step. Dense layers count as "
    "convolutions. JAX fuses operations: what is fused into a convolution, a pooling or a concatenation counts as that."
)


def group_of(backend: str, text: str) -> str:
    """Return what an operation belongs to."""
    return next((group for group, pattern in RULES[backend] if re.search(pattern, text)), REST)


def step_operations(model: Any) -> int:
    """Return the floating-point operations of a training step: of convolutions and dense layers, counted from layers.

    A multiplication and an addition for each weight and output position; once forward, once for the gradient of the
    weights, and once for the gradient of the inputs, which first layers do not need.
    """
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            positions = math.prod(layer.output.shape[1:-1])
            first = any(layer.input is tensor for tensor in model.inputs)
            total += 2 * math.prod(layer.kernel.shape) * positions * BATCH * (2 if first else 3)
    return total


def counted_by_tensorflow(model: Any) -> int:
    """Return TensorFlow's own count of convolutions and matrix products in the graph of loss and gradients."""
    import keras
    import tensorflow as tf

    def gradients(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    specs = tf.TensorSpec((BATCH, SIDE, SIDE, 3), "float32"), tf.TensorSpec((BATCH,), "int32")
    graph = tf.function(gradients, autograph=False).get_concrete_function(*specs).graph
    counted = {  # gradients of the model's inputs stand in the graph too; nothing reads them, so they are not computed
        operation.name
        for operation in graph.get_operations()
        if re.search("Conv2D|MatMul", operation.type) and any(out.consumers() for out in operation.outputs)
    }
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
    nodes, total = [profiler.profile(graph, cmd="scope", options=options)], 0
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children)
        total += node.float_ops if node.name in counted else 0
    return total


def matrix_rate() -> float:
    """Return the GFLOP/s of a product of two float32 matrices, the best of several."""
    import keras

    from reglab import backends

    a, times = keras.random.normal((MATRIX, MATRIX), seed=0), []
    product = backends.adapter().compiled(keras.ops.matmul, [])
    for _ in range(PRODUCTS + 1):
        began = time.perf_counter()
        keras.ops.convert_to_numpy(product(a, a)[0, 0])  # waits for it
        times.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(times) / 1e9


def measured(network: str, *, steps: int, profiled: int) -> dict[str, Any]:
    """Return all that is measured of a network, in this process, with its backend."""
    backend = os.environ["KERAS_BACKEND"]
    folder = tempfile.TemporaryDirectory()
    if backend == "jax":  # the text of the compiled step says what its operations were made of
        dump = f"--xla_dump_to={folder.name} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=train_step"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {dump}"
    import keras
    import numpy as np

    import reglab
    from reglab.models import inception, resnet

    random, shape = np.random.default_rng(0), (SIDE, SIDE, 3)
    x, y = random.normal(size=(BATCH, *shape)).astype("float32"), random.integers(0, CLASSES, BATCH)
    keras.utils.set_random_seed(0)
    bare = inception(shape, CLASSES, pooled=True) if network == "inception" else resnet(shape, CLASSES)
    models = {"bare": bare, "regularized": reglab.regularize(bare, reglab.Recipe(), seed=0)}

    def step(model: Any) -> float:
        began = time.perf_counter()
        model.train_on_batch(x, y)
        return time.perf_counter() - began

    for model in models.values():
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        for _ in range(3):
            step(model)
    before = matrix_rate()
    took = in_turn({name: lambda model=model: step(model) for name, model in models.items()}, rounds=steps)
    after = matrix_rate()
    operations = step_operations(bare)
    own = counted_by_tensorflow(bare) if backend == "tensorflow" else None
    if own is not None and abs(own / operations - 1) > 0.01:
        raise SystemExit(f"TensorFlow counts {own} operations a step of {network}, and the layers give {operations}.")
    kernels = {math.prod(weight.shape) for weight in bare.trainable_weights if len(weight.shape) > 1}
    spent: Counter[str] = Counter()
    with folder:
        for text, seconds in PROFILES[backend](
            lambda: [step(bare) for _ in range(profiled)], Path(folder.name), kernels
        ):
            spent[group_of(backend, text)] += seconds / profiled
    return {
        "version": reglab.backends.version(), "operations": operations, "own_count": own, "before": before,
        "after": after, "step": took.median("bare"), "regularized": took.median("regularized"),
        "ratio": took.ratio("regularized", "bare"), "spent": dict(spent),
    }  # fmt: skip


# --- what it is spent on: each yields the text of an operation, and seconds ------------------------------------------


def of_tensorflow(run: Callable[[], Any], folder: Path, kernels: set[int]) -> Iterator[tuple[str, float]]:
    """Yield the operations of TensorFlow's executor."""
    import tensorflow as tf

    tf.profiler.experimental.start(str(folder))
    run()
    tf.profiler.experimental.stop()
    for event in _events(folder):
        if re.search(r"[^:\s]:[^:\s]", event.name):  # "scope:operation"; what has another form is around operations
            yield event.name, event.duration_ns / 1e9


def of_jax(run: Callable[[], Any], folder: Path, kernels: set[int]) -> Iterator[tuple[str, float]]:
    """Yield the operations of the compiled step."""
    import jax

    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with jax.profiler.trace(str(folder), profiler_options=options):
        run()
    texts: dict[int, dict[str, str]] = {}
    for event in _events(folder):
        stats = dict(event.stats)
        if stats.get("hlo_module") == "jit_train_step":
            number = stats["program_id"]
            if number not in texts:
                (path,) = folder.glob(f"module_{number:04d}.*after_optimizations.txt")
                texts[number] = _compiled(path.read_text(), kernels)
            yield texts[number].get(stats["hlo_op"], ":"), event.duration_ns / 1e9


def of_torch(run: Callable[[], Any], folder: Path, kernels: set[int]) -> Iterator[tuple[str, float]]:
    """Yield the operations of PyTorch's dispatcher, each without the operations it calls."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        run()
    for event in found.events():
        callers, caller = [event.name], event.cpu_parent
        while caller is not None:
            callers.append(caller.name)
            caller = caller.cpu_parent
        yield " < ".join(callers), event.self_cpu_time_total / 1e6


PROFILES = {"tensorflow": of_tensorflow, "jax": of_jax, "torch": of_torch}


def _events(folder: Path) -> Iterator[Any]:
    from jax.profiler import ProfileData  # reads TensorFlow's profiles too: they have one format

    (path,) = folder.rglob("*.xplane.pb")
    for plane in ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            yield from line.events


def _compiled(hlo: str, kernels: set[int]) -> dict[str, str]:
    """Return what each operation of a compiled program was made of: ``source operation:operations[:kernel]``."""
    inside: dict[str, list[str]] = {}  # operations of each fused computation
    users: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", hlo):
        lines = re.findall(r"^\s+(?:ROOT )?%([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$", block, flags=re.M)
        if not block.startswith("ENTRY"):
            inside[block.split(" ", 1)[0].lstrip("%")] = [operation for _, _, operation, _ in lines]
            continue
        for name, shape, operation, rest in lines:
            called = re.search(r"calls=%([\w.\-]+)", rest)
            made_of = inside.get(called[1], [operation]) if called else [operation]
            source = re.search(r'op_name="jit\(train_step\)/([^"]*)"', rest)
            size = re.match(r"f32\[([\d,]+)\]", shape)
            kernel = ":kernel" if size and math.prod(map(int, size[1].split(","))) in kernels else ""
            texts[name] = f"{source[1] if source else ''}:{' '.join(made_of)}{kernel}"
            for used in re.findall(r"%([\w.\-]+)", rest.split(")")[0]):
                users.setdefault(used, []).append(name)
    for name, text in texts.items():  # positions and zeros that pooling alone is given
        if re.match(r":.*\b(iota|broadcast|concatenate)\b", text):
            pooling = [user for user in users.get(name, ()) if group_of("jax", texts[user]) == POOLING]
            texts[name] = texts[pooling[0]] if pooling else text
    return texts


# --- telling ---------------------------------------------------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _row(name: str, one: dict[str, Any], fastest: float) -> list[str]:
    rate, limit = one["operations"] / one["step"] / 1e9, max(one["before"], one["after"])
    return [
        name, f"{1000 * one['step']:.0f}", f"{one['operations'] / 1e9:.1f}", f"{rate:.0f}",
        f"{one['before']:.0f} / {one['after']:.0f}", _percent(rate / limit), _percent(rate / fastest),
        f"{1000 * one['regularized']:.0f} ({one['ratio']:.2f} times)",
    ]  # fmt: skip


def _spent(found: dict[str, dict[str, Any]]) -> str:
    def cell(one: dict[str, Any], group: str) -> str:
        seconds, total = one["spent"].get(group, 0.0), sum(one["spent"].values())
        return f"{1000 * seconds:.1f} ({_percent(seconds / total)})" if seconds else "-"

    rows = [[group, *(cell(one, group) for one in found.values())] for group in GROUPS]
    rows.append(["sum of operations", *(f"{1000 * sum(one['spent'].values()):.1f}" for one in found.values())])
    rows.append(["step by the clock", *(f"{1000 * one['step']:.1f}" for one in found.values())])
    return table(["", *(NAMES[backend] for backend in found)], rows)


def _stands_out(title: str, found: dict[str, dict[str, Any]]) -> str:
    """Return what stands out of a network's numbers."""
    first = min(found, key=lambda backend: found[backend]["step"])
    slower = [
        f"{found[one]['step'] / found[first]['step']:.1f} times as long on {NAMES[one]}"
        for one in found
        if one != first
    ]
    shares = []
    for backend, one in found.items():
        total = sum(one["spent"].values())
        others = {group: seconds / total for group, seconds in one["spent"].items() if "convolutions" not in group}
        most = max(others, key=lambda group: others[group])
        shares.append(f"{_percent(sum(others.values()))} on {NAMES[backend]} ({most}: {_percent(others[most])})")
    return (
        f"A step of the {title} is fastest on {NAMES[first]} and takes {' and '.join(slower)}. What is no "
        f"convolution takes, of the time of operations, {', '.join(shares)}."
    )


def _about(found: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Return what the whole table says."""
    rates = [(key[1], one[when]) for key, one in found.items() for when in ("before", "after")]
    limits = {backend: max(rate for name, rate in rates if name == backend) for backend in NAMES}
    high, low = max(limits, key=lambda name: limits[name]), min(limits, key=lambda name: limits[name])
    ratios = [one["ratio"] for one in found.values()]
    apart = max(abs(one["own_count"] / one["operations"] - 1) for one in found.values() if one["own_count"])
    return (
        f"The product of two matrices itself reaches {limits[high]:.0f} GFLOP/s on {NAMES[high]} and "
        f"{limits[low]:.0f} on {NAMES[low]}. With reglab around the model and an empty recipe a step takes "
        f"{min(ratios):.2f} to {max(ratios):.2f} times as long as without. TensorFlow's own count of the operations in "
        f"the graph of the step differs from the count from the layers by {100 * apart:.2f} %."
    )


def main() -> None:
    """Measure every backend and network in a process of its own, and print the tables."""
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measured(sys.argv[2], steps=int(sys.argv[3]), profiled=int(sys.argv[4]))))
        return
    counts = ("4", "2") if "--quick" in sys.argv else (str(STEPS), str(PROFILED))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for network in NETWORKS:
        for backend in NAMES:
            print(f"{network} on {backend}", file=sys.stderr)
            found[network, backend] = in_fresh_process(__file__, "measure", network, *counts, backend=backend)
    fastest = max(one[when] for one in found.values() for when in ("before", "after"))
    header = (
        "network, backend", "step, ms", "GFLOP a step", "GFLOP/s", "matrix product before / after, GFLOP/s",
        "share of it", "share of the fastest one", "with reglab, ms",
    )  # fmt: skip
    print(table(header, [_row(f"{NETWORKS[net]}, {NAMES[on]}", one, fastest) for (net, on), one in found.items()]))
    print("\n" + _about(found))
    for network, title in NETWORKS.items():
        of_network = {backend: found[network, backend] for backend in NAMES}
        print(f"\nWhere a step of the {title} spends its time, in ms:\n\n{_spent(of_network)}")
        print("\n" + _stands_out(title, of_network))
    versions = [f"{name} {found['inception', backend]['version']}" for backend, name in NAMES.items()]
    print(f"\n{READING}\n\n{', '.join([machine('keras'), *versions])}; batches of {BATCH}x{SIDE}x{SIDE}x3, float32")


if __name__ == "__main__":
    main()
