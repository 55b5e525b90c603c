"""Makes `squeeze` a model of the literal command `lm_eval --model squeeze --model_args path=… --tasks …`.

lm-eval has no entry points for models. `squeeze_lm_eval.pth`, installed beside this file, imports it when Python starts
as `lm_eval` (or `lm-eval`, or with `-m lm_eval`); it waits for lm-eval to import its own table of models and then adds
one lazy name to it. Where the command line says `squeeze`, the two packages are imported at once, before Python looks
into the working folder, which may have a `pipeline` of its own. Nothing else is imported, and uninstalling the package
removes both files.
"""

import sys
from importlib.machinery import PathFinder


class AfterModels:
    """A finder that finds `lm_eval.models` as usual and registers `squeeze` once that module has run."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "lm_eval.models":
            return None
        sys.meta_path.remove(cls)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            from lm_eval.api.registry import model_registry

            if "squeeze" not in model_registry:
                model_registry.register("squeeze", target="pipeline.evaluation.lm_eval.registration:SqueezeModel")

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, AfterModels)
if "squeeze" in sys.orig_argv:
    import pipeline  # noqa: F401
    import trainer  # noqa: F401
