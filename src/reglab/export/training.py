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
    what += ["moved weights"] if script.noisy or script.ascent else []
    what += ["more than the loss of the data"] if script.terms else []
    blocks = [_init(script)]
    if script.batch or script.ascent:
        blocks += [_prepare(script), _STEPS[script.backend]]
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


_STEPS = {
    "tensorflow": """    def train_step(self, data):
        return super().train_step(self.prepare(*data))""",
    "torch": """    def train_step(self, data):
        with torch.no_grad():
            data = self.prepare(*data)
        return super().train_step(data)""",
    "jax": """    def train_step(self, state, data):
        trainable, non_trainable, optimizer, metrics = state
        values = zip(self.variables_in_order, [*trainable, *non_trainable])
        with keras.StatelessScope(state_mapping=list(values)) as scope:
            data = self.prepare(*data)
        # The batch was drawn from random streams, and those have moved on.
        non_trainable = [scope.get_current_value(v) for v in self.non_trainable_variables]
        return super().train_step((trainable, non_trainable, optimizer, metrics), data)

    @property
    def variables_in_order(self):
        return [*self.trainable_variables, *self.non_trainable_variables]""",
}

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
    """Return ``call``: inputs prepared, and in training weights moved for one pass."""
    if not (script.noisy or script.ascent):
        lines = [f"        {line}" for line in script.preprocess]
        call = ["    def call(self, x, training=False):", *lines]
        return "\n".join([*call, "        return self.network(x, training=training)"])
    lines = ["    def moved(self):", '        """Return each weight with its value in this pass of training."""']
    if script.noisy:
        lines += [
            "        def noisy_kernel(w):",
            '            if role(w) != "kernel":',
            "                return ops.convert_to_tensor(w)",
            *(f"            w = {changed}" for changed in script.noisy),
            "            return w",
            "",
        ]
        lines.insert(2, "")
    lines.append("        weights = self.network.trainable_variables")
    value = "noisy_kernel(w)" if script.noisy else "ops.convert_to_tensor(w)"
    lines.append(f"        values = [{value} for w in weights]")
    if script.ascent:
        lines.append("        offsets, self.held.offsets = self.held.offsets, None")
        lines.append("        if offsets is not None:")
        lines.append("            values = [value + offset for value, offset in zip(values, offsets)]")
    lines.append("        return list(zip(weights, values))")
    prepare = [f"        {line}" for line in script.preprocess]
    lines += [
        "",
        "    def run(self, x, training):",
        '        """Run the network; in training with moved weights, keeping what else the pass changes."""',
        *prepare,
        "        moved = {id(w): (w, value) for w, value in self.moved()} if training else {}",
        "        state = {id(v): (v, v.value) for v in self.variables} | moved",
        "        with keras.StatelessScope(state_mapping=list(state.values()), collect_losses=True) as scope:",
        "            y = self.network(x, training=training)",
        "        for v in self.network.non_trainable_variables:",
        "            v.assign(scope.get_current_value(v))",
        "        for loss in scope.losses:",
        "            self.add_loss(ops.copy(loss))  # on JAX Keras finds losses by identity",
        "        return y",
        "",
        "    def call(self, x, training=False):",
        "        return self.run(x, training)",
    ]
    return "\n".join(lines)
