"""The class of a script that changes batches, inputs or weights in training, around the network."""

from __future__ import annotations

from reglab.errors import ReglabError
from reglab.export.script import Script
from reglab.export.source import call

__all__ = ["training"]


def training(script: Script) -> str:
    """Return the model around the network, whose step changes the batch first and then is Keras' own."""
    what = []
    what += ["changed batches"] if script.batch else []
    what += ["prepared inputs"] if script.preprocess else []
    what += ["reparametrized kernels"] if script.made else []
    what += ["moved weights"] if script.noisy or script.ascent else []
    what += ["more than the loss of the data"] if script.terms else []
    blocks = [_init(script)]
    if script.batch or script.ascent:
        blocks.append(_prepare(script))
    if script.batch or script.ascent or script.made:
        blocks.append(_STEPS[script.backend](bool(script.batch or script.ascent), bool(script.made)))
    if script.made:
        blocks.append(_made(script))
    if script.attacks or script.ascent:
        blocks.append(_FROZEN)
    if script.attacks:
        blocks.append(_INPUT_GRADIENT.replace("{each}", script.each_loss))
    if script.terms:
        blocks.append(_terms(script))
    blocks.append(_call(script))
    body = "\n\n".join(blocks)
    return f'class Training(keras.Model):\n    """The network, trained on {" and ".join(what)}."""\n\n{body}'


def _init(script: Script) -> str:
    lines = [
        "    def __init__(self, network):",
        "        super().__init__(autocast=False)",
        "        self.network = network",
    ]
    lines += ["        self.output_names = network.output_names"] if script.several else []
    for name, seed in script.streams.items():
        lines.append(f"        self.{name}_random = keras.random.SeedGenerator({seed})")
    for name, (_, first, _) in script.made.items():
        lines.append(f"        self.{name}_kept = kept_for(network, {first})")
    lines += ["        self.held = SimpleNamespace(offsets=None)"] if script.ascent else []
    return "\n".join(lines)


def _prepare(script: Script) -> str:
    lines = ["    def prepare(self, x, y):", '        """Return the batch that is trained on."""']
    lines += [f"        {line}" for line in script.batch]
    if script.ascent:
        lines += [
            "        weights = self.network.trainable_variables",
            "",
            "        def loss(values):",
            "            with self.frozen(zip(weights, values)):",
            f"                return ops.sum({script.each_loss}(y, self.run(x, training=True)))",
            "",
            "        gradients = gradient(loss, [ops.convert_to_tensor(w) for w in weights])",
            call(*script.ascent, before="offsets = ", indent=8),
            "        self.held.offsets = [ops.stop_gradient(offset) for offset in offsets]",
        ]
    return "\n".join([*lines, "        return x, y"])


def _step_of_tensorflow(prepares: bool, follows: bool) -> str:
    data = "self.prepare(*data)" if prepares else "data"
    lines = [f"super().train_step({data})"]
    lines = ["logs = " + lines[0], "self.follow()", "return logs"] if follows else ["return " + lines[0]]
    return _method("train_step(self, data)", lines)


def _step_of_torch(prepares: bool, follows: bool) -> str:
    lines = ["with torch.no_grad():", "    data = self.prepare(*data)"] if prepares else []
    step = "super().train_step(data)"
    after = ["logs = " + step, "with torch.no_grad():", "    self.follow()", "return logs"]
    return _method("train_step(self, data)", [*lines, *(after if follows else ["return " + step])])


def _step_of_jax(prepares: bool, follows: bool) -> str:
    values = "values = zip(self.variables_in_order, [*trainable, *non_trainable])"
    scope = "with keras.StatelessScope(state_mapping=list(values)) as scope:"
    moved = "non_trainable = [scope.get_current_value(v) for v in self.non_trainable_variables]"
    state = "(trainable, non_trainable, optimizer, metrics)"
    lines = []
    if prepares:
        lines += [f"{state[1:-1]} = state", values, scope, "    data = self.prepare(*data)"]
        lines += ["# The batch was drawn from random streams, and those have moved on.", moved]
    before = f"logs, {state} = " if follows else "return "
    given = [state if prepares else "state", "data"]
    lines.append(call("super().train_step", given, before=before, indent=8).lstrip())
    if follows:
        lines += [values, scope, "    self.follow()", moved, f"return logs, {state}"]
    order = ["return [*self.trainable_variables, *self.non_trainable_variables]"]
    named = "\n\n    @property\n" + _method("variables_in_order(self)", order)
    return _method("train_step(self, state, data)", lines) + named


_STEPS = {"tensorflow": _step_of_tensorflow, "torch": _step_of_torch, "jax": _step_of_jax}


def _method(signature: str, lines: list[str]) -> str:
    return "\n".join([f"    def {signature}:", *(f"        {line}" if line else "" for line in lines)])


def _made(script: Script) -> str:
    """Return the methods that let what is kept for kernels follow them, and give the network what is made of them."""
    follow = ['"""Let what is kept for kernels follow them."""']
    for name, (_, _, then) in script.made.items():
        follow.append(f"for w, kept in zip(kernels(self.network), self.{name}_kept):")
        follow.append(f"    kept.assign({then}(ops.convert_to_tensor(w), ops.convert_to_tensor(kept)))")
    hand_over = [
        '"""Give the network weights with which it predicts, by itself, what this model does."""',
        "for w, value in self.moved(training=False):",
        "    w.assign(value)",
    ]
    return _method("follow(self)", follow) + "\n\n" + _method("hand_over(self)", hand_over)


_FROZEN = '''    def frozen(self, moved=()):
        """Return a scope in which nothing moves, with some variables at other values."""
        values = {id(v): (v, v.value) for v in self.variables} | {id(v): (v, value) for v, value in moved}
        return keras.StatelessScope(state_mapping=list(values.values()))'''

_INPUT_GRADIENT = '''    def input_gradient(self, x, y):
        """Return the gradient of the examples' losses with respect to them, in inference mode."""

        def loss(x):
            with self.frozen():
                return ops.sum({each}(y, self(x, training=False)))

        return gradient(loss, x)'''


def _terms(script: Script) -> str:
    if script.ascent:
        raise ReglabError(
            "A script cannot move weights by a gradient and run the network again for a term of the loss. Leave it "
            "out (--no-script)."
        )
    lines = [
        "    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):",
        "        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)",
        "        if training:",
        "            context = Context(self, LOSS, gradient, x, y, y_pred)",
        *script.terms,
        "        return loss",
    ]
    return "\n".join(lines)


def _call(script: Script) -> str:
    """Return ``call``: inputs prepared, and weights as a pass has them: made, and in training moved."""
    if not (script.noisy or script.ascent or script.made):
        lines = [*script.preprocess, "return self.network(x, training=training)"]
        return _method("call(self, x, training=False)", lines)
    # What is made of kernels is there at evaluation too.
    given, moved = ("(self, training)", "self.moved(training)") if script.made else ("(self)", "self.moved()")
    run = [
        '"""Run the network; in training with moved weights, keeping what else the pass changes."""',
        *script.preprocess,
        f"moved = {{id(w): (w, value) for w, value in {moved}}}" + ("" if script.made else " if training else {}"),
        "state = {id(v): (v, v.value) for v in self.variables} | moved",
        "with keras.StatelessScope(state_mapping=list(state.values()), collect_losses=True) as scope:",
        "    y = self.network(x, training=training)",
        "for v in self.network.non_trainable_variables:",
        "    v.assign(scope.get_current_value(v))",
        "for loss in scope.losses:",
        "    self.add_loss(ops.copy(loss))  # on JAX Keras finds losses by identity",
        "return y",
    ]
    methods = [
        _method(f"moved{given}", _moved(script)),
        _method("run(self, x, training)", run),
        _method("call(self, x, training=False)", ["return self.run(x, training)"]),
    ]
    return "\n\n".join(methods)


def _moved(script: Script) -> list[str]:
    """Return the lines that give each weight its value in a pass, as the study does it.

    What is made of kernels is made of them as a gradient moved them, and noise comes last. Otherwise it comes first.
    """
    when = "this pass" if script.made else "this pass of training"
    lines = [f'"""Return each weight with its value in {when}."""', "weights = self.network.trainable_variables"]
    lines.append("values = [ops.convert_to_tensor(w) for w in weights]")
    only = "training and " if script.made else ""
    offsets = ["offsets, self.held.offsets = self.held.offsets, None"]
    offsets = ["offsets = None", "if training:", f"    {offsets[0]}"] if script.made else offsets
    offsets += [
        "if offsets is not None:",
        "    values = [value + offset for value, offset in zip(values, offsets)]",
    ]
    noise = [
        "for position, weight in enumerate(weights):",
        f'    if {only}role(weight) == "kernel":',
        "        w = values[position]",
        *(f"        w = {changed}" for changed in script.noisy),
        "        values[position] = w",
    ]
    noise, offsets = noise if script.noisy else [], offsets if script.ascent else []
    made = [
        call("made_of", ["self.network", "values", f"self.{name}_kept", how], before="values = ", indent=8).lstrip()
        for name, (how, _, _) in script.made.items()
    ]
    lines += [*offsets, *made, *noise] if made else [*noise, *offsets]
    return [*lines, "return list(zip(weights, values))"]
