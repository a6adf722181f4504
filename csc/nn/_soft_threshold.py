"""Thresholds whose backward pass keeps their result only."""

import torch
from torch.autograd import Function


def soft_threshold(v: torch.Tensor, threshold: torch.Tensor, *, positive: bool) -> torch.Tensor:
    """``sign(v) max(|v| - threshold, 0)``, or ``max(v - threshold, 0)`` if ``positive``.

    The gradient is 1 in v and minus the sign in the threshold where the result is not zero, and 0
    elsewhere: the backward pass needs the result, which the next step keeps anyway, and nothing else.

    Parameters
    ----------
    v : tensor (N, K, *V)
    threshold : tensor that broadcasts to ``v``
    positive : bool
    """
    return _SoftThreshold.apply(v, threshold, positive)


class _SoftThreshold(Function):
    @staticmethod
    def forward(v, threshold, positive):
        """The result."""
        z = (v - threshold).clamp_min_(0)
        return z if positive else z.add_((v + threshold).clamp_max_(0))

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the backward pass needs."""
        ctx.positive, ctx.shape = inputs[2], inputs[1].shape
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, grad):
        """Gradients in all inputs."""
        (z,) = ctx.saved_tensors
        # the gradient where |z| > 0: ten times as fast as torch.where
        grad = torch.ops.aten.threshold_backward(grad, z if ctx.positive else z.abs(), 0)
        of_threshold = None
        if ctx.needs_input_grad[1]:
            signed = grad if ctx.positive else grad * z.sign()
            of_threshold = -signed.sum_to_size(ctx.shape)
        return grad, of_threshold, None


def hard_threshold(v: torch.Tensor, threshold: torch.Tensor, *, positive: bool) -> torch.Tensor:
    """``v`` where ``|v| > threshold``, or where ``v > threshold`` if ``positive``; else 0."""
    return torch.where((v if positive else v.abs()) > threshold, v, 0)
