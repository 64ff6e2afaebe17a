"""The methods by name. Each line is read only when its method is asked for, so that start-up stays quick."""

from __future__ import annotations

import difflib
from importlib import import_module

from modecover.errors import UserError
from modecover.kinds import checked, shown
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


_given: dict[str, type[Method]] = {}
"""Methods that are not ours, by the names that `name_of` gave them."""


def name_of(method: str | Method | type[Method]) -> str:
    """The name by which `get` finds the method: a registered one's own, another's qualified name.

    Raises:
        UserError: it is no method, or its `step` cannot be read.
    """
    if isinstance(method, str):
        return method
    cls = method if isinstance(method, type) else type(method)
    if not issubclass(cls, Method):
        raise UserError(f"method is {shown(method)}: give a name that `modecover list` shows, or a Method.")
    qualified = f"{cls.__module__}:{cls.__qualname__}"
    for name, place in METHODS.items():
        if place == qualified:
            return name
    try:
        cls.roles()
    except (TypeError, NameError, ValueError) as error:
        raise UserError(f"{cls.__qualname__} is no method that can be trained: {error}.") from error
    name = qualified.replace(":", ".")
    _given[name] = cls
    return name


def get(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        UserError: it is no text, or no method has it; the message names the nearest.
    """
    if checked("method", name, str) in _given:
        return _given[name]
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METHODS)}."
        raise UserError(f"There is no method called {name!r}: {hint}")
    module, _, attribute = METHODS[name].partition(":")
    method: type[Method] = getattr(import_module(module), attribute)
    return method
