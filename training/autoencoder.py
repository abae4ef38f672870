"""A conditional convolutional variational autoencoder (arXiv:1312.6114) of small pictures."""

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import one_hot

HALVINGS = 4
"""How often the sides are halved between picture and latent space."""


class ConditionalVae(nn.Module):
    """Pictures of several classes, and a latent space to draw new ones from.

    New ones are drawn from a Gaussian over the latents of each class's training pictures, not from
    the prior, of which only a part is in use (arXiv:1903.12436).
    """

    means: Tensor
    """Of each class's Gaussian, `(classes, latents)`."""
    factors: Tensor
    """Cholesky factor of each class's covariance, `(classes, latents, latents)`."""

    def __init__(self, *, side: int, channels: int, classes: int, latents: int, width: int) -> None:
        """Build an untrained network.

        Args:
            side: of the pictures in pixels, a multiple of 16.
            channels: 1 for grey, 3 for RGB.
            classes: of the pictures.
            latents: dimensions of the latent space.
            width: planes of the first convolution; each later one has twice as many.
        """
        super().__init__()
        self._classes = classes
        widths = [width * 2**number for number in range(HALVINGS)]
        self._inner = (widths[-1], side >> HALVINGS, side >> HALVINGS)
        flat = widths[-1] * (side >> HALVINGS) ** 2
        down, inputs = nn.Sequential(), channels + classes
        for outputs in widths:
            down.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
            down.extend([nn.BatchNorm2d(outputs), nn.SiLU()])
            inputs = outputs
        self.encoder = down.extend([nn.Flatten(), nn.Linear(flat, 2 * latents)])
        self.start = nn.Linear(latents + classes, flat)
        up = nn.Sequential(nn.SiLU())
        for outputs in reversed(widths[:-1]):
            up.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False))
            up.extend([nn.BatchNorm2d(outputs), nn.SiLU()])
            inputs = outputs
        self.decoder = up.extend([nn.ConvTranspose2d(inputs, channels, 4, 2, 1), nn.Sigmoid()])
        self.register_buffer("means", torch.zeros(classes, latents))
        self.register_buffer("factors", torch.eye(latents).repeat(classes, 1, 1))

    def encode(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of each picture's latents, `(N, latents)` each.

        Args:
            x: `(N, C, H, W)`, from 0 to 1.
            classes: number of each picture's class, `(N,)`.
        """
        planes = one_hot(classes, self._classes)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        mean, log_variance = self.encoder(torch.cat([x, planes], 1)).chunk(2, 1)
        return mean, log_variance.clamp(-12, 6)

    def decode(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Pictures `(N, C, H, W)`, from 0 to 1."""
        seen = torch.cat([latents, one_hot(classes, self._classes)], 1)
        pictures: Tensor = self.decoder(self.start(seen).view(-1, *self._inner))
        return pictures

    def describe(self, mean: Tensor, log_variance: Tensor, classes: Tensor) -> None:
        """Fit each class's Gaussian to the latents of all training pictures, as of `encode`."""
        for number in range(self._classes):
            rows = classes == number
            spread = torch.cov(mean[rows].T) + torch.diag(log_variance[rows].exp().mean(0))
            self.means[number] = mean[rows].mean(0)
            self.factors[number] = torch.linalg.cholesky(spread)

    @torch.no_grad()
    def draw(self, classes: Tensor, generator: Generator) -> Tensor:
        """New pictures `(N, C, H, W)`, from 0 to 1, one of each class that is asked for."""
        noise = torch.randn(len(classes), self.means.shape[1], generator=generator)
        spread = torch.einsum("nij,nj->ni", self.factors[classes], noise)
        return self.decode(self.means[classes] + spread, classes)


def loss_of(x: Tensor, back: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Negative evidence lower bound in nats a picture, up to a constant, and the divergence in it.

    The variance of the pixels is the one that fits the batch best, so that nothing weighs the two
    parts against each other by hand (sigma-VAE, arXiv:2006.13202).
    """
    pixels = x[0].numel()
    error = 0.5 * pixels * torch.log((x - back).square().mean() + 1e-8)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return error + divergence, divergence
