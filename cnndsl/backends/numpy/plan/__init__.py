"""A network compiled to a list of NumPy calls: the graph rewritten, algorithms chosen."""

from cnndsl.backends.numpy.plan.execute import Compiled, Plan, Step

__all__ = ["Compiled", "Plan", "Step"]
