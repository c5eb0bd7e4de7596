"""What a regularization strategy is, and where in the training step each of its hooks acts.

This is the training step of ``reglab.regularize(model, recipe)``, with every hook in its place::

    EXAMPLES     x, y, w = s.on_batch(x, y, w)                      # augmentation
    TARGETS      x, y, w = s.on_batch(x, y, w)                      # label smoothing
    MIXTURES     x, y, w = s.on_batch(x, y, w)                      # mixup
    ATTACKS      x = s.perturb_inputs(x, d loss/d x)                # FGSM, BIM, PGD; inference mode, nothing moves

                 # keras.Model.train_step from here on: gradient, loss scaling, metrics
                 x = s.preprocess(x)                                # ZCA, featurewise statistics; also at evaluation
    ACTIVATIONS  y_pred = network(x)                                # with s.on_activation at the places of s.places,
                                                                    # s.on_branch on residual branches
    WEIGHTS          at s.reparametrize(weights)                    # spectral normalization; also at evaluation
                     at s.forward(weights)                          # weight noise; only for this pass
    LOSS         loss = data_loss(y, y_pred, w) + s.penalty(weights) + s.activity_penalty(layer outputs)
                      + s.loss(x, y, y_pred, w, ...)                # another forward pass, if it asks for one
    GRADIENTS    g = d loss/d weights, at weights + s.perturb_weights(d data_loss/d weights)               # SAM
                 g = s.on_gradients(g)                              # gradient centralization
    UPDATE       weights = s.optimizer(optimizer)(weights, g)       # weight decay, learning rate, averages
                 weights = s.after_update(weights)                  # max-norm
                 s.state = s.next_state(weights)
    OBSERVATION  s.observer(task)                                   # early stopping, averages: looks, moves nothing
                 s.callbacks()                                      # whatever Keras' callbacks do

A strategy names the stage of its main hook, which decides its place among the strategies of a recipe. It implements
only the hooks it needs. The hooks are pure functions of tensors: they get the strategy's strengths as variables in
``s`` (``s.rate``, ``s.kernel``) and, where they draw, a ``keras.random.SeedGenerator`` of their own. They must take
numbers that a strength decides from ``s`` and never from ``self``: ``self`` is a constant of the compiled program,
``s`` is not. What a strategy keeps from step to step (``state``) is in ``s.state``.

The hooks are named after where regularization can act: data, architecture, error function, penalty term and
optimization (Kukacka, Golkov and Cremers 2017, arXiv:1710.10686).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from reglab.aliases import Loss, Optimizer, Random, Tensor
from reglab.data.kinds import are_indices, measures
from reglab.declare import params
from reglab.errors import ReglabError
from reglab.schedules import Schedule
from reglab.strategies.described import described
from reglab.strategies.given import Batch, InputRange, LossContext, ModelInput, Place, StrengthView, Weight
from reglab.strategies.observing import Observer
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage
from reglab.tasks import Task

if TYPE_CHECKING:
    from reglab.recipe import Recipe

__all__ = ["Strategy"]

# What acts in the program that is trained.
_IN_PROGRAM = (
    "fit_data",
    "preprocess",
    "on_batch",
    "perturb_inputs",
    "on_activation",
    "on_branch",
    "reparametrize",
    "forward",
    "penalty",
    "activity_penalty",
    "loss",
    "perturb_weights",
    "on_gradients",
    "optimizer",
    "after_update",
    "state",
    "next_state",
)
_HOOKS = (*_IN_PROGRAM, "callbacks", "observer")


@dataclass(frozen=True)
class Strategy:
    """One regularization method with its hyperparameters.

    Subclasses are frozen dataclasses, one file each, whose fields are made by ``param``. They declare, as class
    variables:

    Attributes:
        name: how recipes call it.
        formula: what it does, as one line of text.
        paper: where it comes from.
        stage: where in the step it acts, which is its place among the strategies of a recipe.
        after: names of strategies of the same stage behind which it comes; the others come by name.
        conflicts: names of strategies it cannot be combined with, with what to do instead.
        zero: hyperparameters at which it leaves training exactly as it was, or None if there are none.
        kinds: the kinds of input that it understands, where it acts on inputs (:mod:`reglab.data.kinds`): by default
            all whose numbers measure something, other people's among them.
        changes_inputs: whether :meth:`on_batch`, where it is implemented, changes the inputs and not the targets alone.
        soft_targets: whether it turns class indices into distributions over classes.
        mixes_numbers: whether, with ``soft_targets``, it takes numbers to predict too.
        rider: whether all its hooks leave the trajectory of the weights alone, so that a study computes it, by its
            :meth:`observer`, from the training of the recipe without it. ``reglab.testing.check_rider`` tries that.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    paper: ClassVar[str]
    stage: ClassVar[Stage]
    after: ClassVar[tuple[str, ...]] = ()
    conflicts: ClassVar[Mapping[str, str]] = {}
    zero: ClassVar[Mapping[str, Any] | None] = None
    kinds: ClassVar[frozenset[str] | None] = None
    changes_inputs: ClassVar[bool] = True
    soft_targets: ClassVar[bool] = False
    mixes_numbers: ClassVar[bool] = False
    rider: ClassVar[bool] = False
    description: ClassVar[str] = ""  # its docstring as it is written; ``__doc__`` has its arguments too

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if texts := described(cls):
            cls.description, cls.__doc__ = texts

    def __post_init__(self) -> None:
        for key, declared in params(self).items():
            object.__setattr__(self, key, declared.check(self.name, key, getattr(self, key)))
        self.validate()
        self._check_hooks()

    @classmethod
    def implements(cls, hook: str) -> bool:
        """Whether the class has a hook, or a property, of its own."""
        return getattr(cls, hook) is not getattr(Strategy, hook)

    @classmethod
    def rides(cls) -> bool:
        """Whether a study computes it from a training without it: the class says so, of the hooks that it has.

        What is made of a rider and overrides a hook of it has to say so anew.
        """
        origin = next(each for each in cls.__mro__ if "rider" in vars(each))
        return bool(vars(origin)["rider"]) and all(getattr(cls, hook) is getattr(origin, hook) for hook in _HOOKS)

    @classmethod
    def in_program(cls) -> bool:
        """Whether something of it acts in the program that is trained; all else watches or is called by ``fit``."""
        return any(cls.implements(hook) for hook in _IN_PROGRAM)

    def _check_hooks(self) -> None:
        """Raise a ReglabError for a hook that would never be called, or that is to be called and is not there."""
        if not isinstance(getattr(self, "stage", None), Stage):
            raise ReglabError(
                f"{self.name} does not say where in the training step it acts. Give the class one of "
                f"{', '.join(stage.name for stage in Stage)}: stage = Stage.LOSS (from reglab.strategies import Stage)."
            )
        if self.implements("on_activation") and not self.implements("places"):
            raise ReglabError(
                f"{self.name} has on_activation and does not say where it acts. Give it the property places, such as "
                "('hidden',)."
            )
        if self.rides() and not self.implements("observer"):
            raise ReglabError(
                f"{self.name} says that it rides on a training without it (rider = True), and not what it sees there. "
                "Give it the method observer, or take rider out."
            )
        for needed, hook in (
            (bool(self.places), "on_activation"),
            (self.penalizes("kernel") or self.penalizes("bias"), "penalty"),
            (self.penalizes_activity, "activity_penalty"),
            (self.perturbs_weights, "perturb_weights"),
            (self.needs_data, "fit_data"),
            (self.preprocesses, "preprocess"),
        ):
            if needed and not self.implements(hook):
                raise ReglabError(f"{self.name} has no method {hook}, and says that it has to be called. Write it.")

    def validate(self) -> None:
        """Check what no single hyperparameter can: raise a ReglabError about their combination."""

    # --- strengths -------------------------------------------------------------------------------------------------

    def strengths(self) -> dict[str, float]:
        """Return the numbers that live in variables, by name: every ``strength`` hyperparameter.

        A strategy whose hyperparameters are pairs, or which needs constants derived from a strength to full
        precision, overrides this. Called on a strategy without schedules; see :meth:`at`.
        """
        return {key: float(getattr(self, key)) for key, declared in params(self).items() if declared.strength}

    def at(self, epoch: int) -> Strategy:
        """Return the strategy with every schedule replaced by its value in ``epoch``."""
        changes = {
            field.name: value.at(epoch)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Schedule)
        }
        return dataclasses.replace(self, **changes) if changes else self

    @property
    def scheduled(self) -> bool:
        """Whether a strength follows a schedule."""
        return any(isinstance(getattr(self, field.name), Schedule) for field in dataclasses.fields(self))

    def structure(self) -> tuple[Any, ...]:
        """Return what decides the compiled program: the name and every hyperparameter that is not a strength.

        Strategies of one structure can share a compiled step, as far as it has their :meth:`terms`.
        """
        fixed = ((key, getattr(self, key)) for key, declared in params(self).items() if not declared.strength)
        return (self.name, *fixed)

    def terms(self) -> frozenset[str]:
        """Return the strengths without which a part of the program is left out, those that are not zero.

        Most strategies always run in full and return nothing here.
        """
        return frozenset()

    # --- hooks: what it keeps --------------------------------------------------------------------------------------

    def state(self, weights: list[Weight]) -> dict[str, np.ndarray]:
        """Return what it keeps from step to step, as it is before the first one: float32 arrays, by name.

        They become variables that are reset with each training, checkpointed and saved. ``weights`` are the trainable
        weights that training begins with, as arrays.
        """
        return {}

    def next_state(self, weights: list[Weight], s: StrengthView) -> dict[str, Tensor]:
        """Return what of the state changes after a step, given the updated weights."""
        return {}

    # --- hooks: the data -------------------------------------------------------------------------------------------

    def fit_data(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is learned from the training inputs ``(N, ...)`` before training: statistics, a whitening."""
        return {}

    @property
    def needs_data(self) -> bool:
        """Whether :meth:`fit_data` has to run before training; by default where it is implemented."""
        return self.implements("fit_data")

    @property
    def needs_range(self) -> bool:
        """Whether it has to know where raw pixel values lie in the model's input (:class:`InputRange`)."""
        return False

    @property
    def preprocesses(self) -> bool:
        """Whether :meth:`preprocess` does anything; by default where it is implemented."""
        return self.implements("preprocess")

    def preprocess(self, x: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Transform inputs in training and evaluation alike, with what :meth:`fit_data` returned."""
        return x

    def as_layers(self, x: Tensor, fitted: Mapping[str, np.ndarray]) -> Tensor:
        """Return what :meth:`preprocess` does to a symbolic input, as layers of Keras' own, for export."""
        return x

    @property
    def leaves_numbers(self) -> bool:
        """Whether it leaves numbers to predict alone, as what does no more than spread labels over classes."""
        return self.soft_targets and not self.mixes_numbers and not self.changes_inputs

    @classmethod
    def understands(cls, kind: str) -> bool:
        """Whether it can act on inputs of a kind: one that it names, or, naming none, one that measures something."""
        return measures(kind) if cls.kinds is None else kind in cls.kinds

    @property
    def acts_on_inputs(self) -> bool:
        """Whether a hook of it changes the numbers that the model is given."""
        return (
            (self.implements("on_batch") and self.changes_inputs)
            or self.implements("perturb_inputs")
            or self.preprocesses
            or "input" in self.places
        )

    @property
    def moves_padding(self) -> bool:
        """Whether it changes the numbers of steps that a model masks by their values, which unmasks them."""
        return False

    def check_input(self, given: ModelInput) -> None:
        """Raise a ReglabError if such inputs cannot be what it acts on; called for each input, before training.

        By default what changes inputs refuses those between whose values there is nothing: indices and whole numbers.
        A strategy that knows what to do with them overrides this.
        """
        known = given.indices and any(map(are_indices, self.kinds or ()))
        if self.acts_on_inputs and not given.continuous and not known:
            raise ReglabError(f"{self.name} changes the numbers that the model is given, and {_why_not(given, self)}")
        if self.moves_padding and given.masked:
            raise ReglabError(
                f"{self.name} changes all numbers that the model is given, and the model masks steps of one value "
                f"(keras.layers.Masking): changed, padding would count.{_instead(self)}"
            )

    def check_targets(self, given: ModelInput, shape: tuple[int | None, ...]) -> None:
        """Raise a ReglabError if targets of this shape, batch first, do not go with what it does to the input."""

    def check_loss(self, loss: Loss) -> None:
        """Raise a ReglabError if it cannot be used with this loss: a ``keras.losses.Loss`` or a function."""

    def on_batch(self, batch: Batch, s: StrengthView, random: Random, input_range: InputRange | None) -> Batch:
        """Change a training batch.

        With ``soft_targets``, ``batch.y`` holds distributions along its last axis, one per example or per position,
        or where ``batch.independent`` is set, for each of several labels whether it is given; or numbers to predict,
        for a strategy that ``mixes_numbers``.
        """
        return batch

    def perturb_inputs(
        self,
        x: Tensor,
        gradient: Callable[[Tensor, slice], Tensor],
        s: StrengthView,
        random: Random,
        input_range: InputRange | None,
    ) -> Tensor:
        """Move inputs along the gradient of the data loss.

        ``gradient(x, part)`` is the gradient with respect to ``x``, the inputs of the examples ``part`` of the batch,
        of the sum of their losses in inference mode.
        """
        return x

    # --- hooks: the network ----------------------------------------------------------------------------------------

    @property
    def places(self) -> tuple[str, ...]:
        """Where :meth:`on_activation` acts: ``input``, ``hidden``, ``output`` (the logits), or names of layers."""
        return ()

    def acts_at(self, place: Place) -> bool:
        """Whether it acts at one of its places: by its rank, or by its number among all of them."""
        return True

    def check_place(self, place: Place, shape: tuple[int | None, ...]) -> None:
        """Raise a ReglabError if it cannot act on what has this shape, batch first, at one of its places."""

    def on_activation(self, h: Tensor, place: Place, s: StrengthView, random: Random) -> Tensor:
        """Change what flows out of a layer, in training only."""
        return h

    def on_branch(self, h: Tensor, place: Place, s: StrengthView, random: Random) -> Tensor:
        """Change what a residual branch gives before it is added to its shortcut, in training only.

        ``place.index`` counts the branches from the input on, ``place.count`` is how many there are.
        """
        return h

    def made(self, random: Random) -> Any:
        """Return what of Keras' its hooks need that cannot be made while a step is traced, such as a layer.

        It is made once for each model, and is in ``s.made``. What it draws has to come from ``random``.
        """
        return None

    def reparametrize(self, weight: Tensor, place: Place, s: StrengthView, *, training: bool) -> Tensor:
        """Return the value that a trainable weight has wherever the network is run: evaluated and exported as well."""
        return weight

    def forward(self, weight: Tensor, s: StrengthView, random: Random) -> Tensor:
        """Return the value a kernel has in one forward pass of training."""
        return weight

    # --- hooks: the objective --------------------------------------------------------------------------------------

    def penalizes(self, kind: str) -> bool:
        """Whether a penalty on weights of this kind, ``kernel`` or ``bias``, is part of the program.

        By default it is on both, where :meth:`penalty` is implemented; that method is told the place.
        """
        return self.implements("penalty")

    def penalty(self, weight: Tensor, place: Place, s: StrengthView) -> Tensor:
        """Return the penalty on one weight, a float32 scalar."""
        raise NotImplementedError

    @property
    def penalizes_activity(self) -> bool:
        """Whether :meth:`activity_penalty` is part of the program; by default where it is implemented."""
        return self.implements("activity_penalty")

    def activity_penalty(self, outputs: Tensor, s: StrengthView) -> Tensor:
        """Return the penalty on a hidden layer's float32 outputs, summed over the batch: Keras divides by its size."""
        raise NotImplementedError

    def loss(self, context: LossContext, s: StrengthView, random: Random) -> Tensor:
        """Return a term that is added to the loss of the batch, a float32 scalar."""
        raise NotImplementedError

    # --- hooks: the optimization -----------------------------------------------------------------------------------

    @property
    def perturbs_weights(self) -> bool:
        """Whether :meth:`perturb_weights` is part of the program, at the cost of a second pass.

        By default it is where that method is implemented.
        """
        return self.implements("perturb_weights")

    def perturb_weights(self, gradients: list[Tensor], weights: list[Weight], s: StrengthView) -> list[Tensor]:
        """Return what is added to each weight for the forward pass, given the gradients of the data loss."""
        raise NotImplementedError

    def on_gradients(self, gradients: list[Tensor], weights: list[Weight], s: StrengthView) -> list[Tensor]:
        """Return the gradients that the optimizer gets. Weights that have none are left out of both lists."""
        return gradients

    def optimizer(self, optimizer: Optimizer, s: StrengthView) -> None:
        """Change reglab's own copy of the optimizer before it is built."""

    def after_update(self, weights: list[Weight], s: StrengthView) -> list[Tensor]:
        """Return the values of all trainable weights after a step of the optimizer."""
        return [weight.value for weight in weights]

    @property
    def changes_optimizer(self) -> bool:
        """Whether :meth:`optimizer` does anything."""
        return self.implements("optimizer")

    def callbacks(self) -> list[Any]:
        """Return callbacks for one call of ``fit``."""
        return []

    def observer(self, task: Task | None) -> Observer:
        """Return what watches one training: it may end it, choose an epoch, or bring other weights to look at.

        ``task`` is that of the study; ``fit`` knows of none.
        """
        raise NotImplementedError

    # --- combining -------------------------------------------------------------------------------------------------

    def __add__(self, other: Recipe | Strategy) -> Recipe:
        from reglab.recipe import Recipe  # a combination is one step further along the flow

        return Recipe(self) + other

    # --- taking it home --------------------------------------------------------------------------------------------

    def write_keras(self, script: TrainingScript) -> None:
        """Say how it is written in plain Keras, by filling slots of a training script.

        The numbers of the strategy are constants of the script.

        Raises:
            ReglabError: if it cannot be written, with the reason.
        """
        raise ReglabError(
            f"{self.name} does not say how it is written in plain Keras (write_keras). Give it that method, or export "
            "the trained network alone (--no-script)."
        )

    # --- what it says of itself ------------------------------------------------------------------------------------

    def active_transforms(self) -> frozenset[str]:
        """Return the transforms it draws, by name; a data set may declare that one changes its labels."""
        return frozenset()

    def refuses(self, *, backend: str, jit_compile: bool) -> str | None:
        """Return why it cannot run there, and what to do; None where it can."""
        return None


def _why_not(given: ModelInput, strategy: Strategy) -> str:
    """Return why an input cannot be changed, and what to do."""
    elsewhere = _instead(strategy)
    if given.indices:
        return f"they are indices (token ids, categories): between two of them there is nothing.{elsewhere}"
    if "int" in given.dtype:
        return (
            f"the model takes them as {given.dtype}, which cuts changed ones to whole numbers. Build it with "
            f"keras.Input(..., dtype='float32'), or leave {strategy.name} out of the recipe."
        )
    return f"they are no numbers ({given.dtype}).{elsewhere}"


def _instead(strategy: Strategy) -> str:
    return " Use where='hidden'." if "input" in strategy.places else " Leave it out of the recipe."
