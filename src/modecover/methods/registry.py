"""The methods by name. Each line is read only when its method is asked for, so that start-up stays quick."""

from __future__ import annotations

import difflib
from importlib import import_module

from modecover.errors import UserError
from modecover.kinds import checked
from modecover.methods.base import Method

METHODS: dict[str, str] = {
    "gan": "modecover.methods.gan:GAN",
    "lsgan": "modecover.methods.lsgan:LSGAN",
    "wgan": "modecover.methods.wgan:WGAN",
    "wgan-gp": "modecover.methods.wgan_gp:WGANGP",
    "sngan": "modecover.methods.sngan:SNGAN",
    "pacgan": "modecover.methods.pacgan:PacGAN",
    "unrolled": "modecover.methods.unrolled:UnrolledGAN",
    "r3gan": "modecover.methods.r3gan:R3GAN",
    "bigan": "modecover.methods.bigan:BiGAN",
    "ali": "modecover.methods.bigan:ALI",
    "veegan": "modecover.methods.veegan:VEEGAN",
    "reg-gan": "modecover.methods.reg_gan:RegGAN",
    "mdgan": "modecover.methods.mdgan:MDGAN",
    "ldmgan": "modecover.methods.ldmgan:LDMGAN",
    "ivgan": "modecover.methods.ivgan:IVGAN",
    "ivdcgan": "modecover.methods.ivgan:IVDCGAN",
    "ivlsgan": "modecover.methods.ivgan:IVLSGAN",
    "ivaae-bw": "modecover.methods.ivaae:IVAAEBlockwise",
    "ivaae-rad": "modecover.methods.ivaae:IVAAERadial",
    "ivaae-svgd": "modecover.methods.ivaae:IVAAESVGD",
    "vae": "modecover.methods.vae:VAE",
    "aae": "modecover.methods.aae:AAE",
    "wae-gan": "modecover.methods.wae_gan:WAEGAN",
    "wae-mmd": "modecover.methods.wae_mmd:WAEMMD",
    "vaegan": "modecover.methods.vaegan:VAEGAN",
}


def names() -> list[str]:
    """The names of all methods, in the order they are listed."""
    return list(METHODS)


def get(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        UserError: it is no text, or no method has it; the message names the nearest.
    """
    if checked("method", name, str) not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METHODS)}."
        raise UserError(f"There is no method called {name!r}: {hint}")
    module, _, attribute = METHODS[name].partition(":")
    method: type[Method] = getattr(import_module(module), attribute)
    return method
