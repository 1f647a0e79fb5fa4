"""Extension of griffe for mkdocs.yml: in a shape such as [*, F] the star is a star, no emphasis."""

import griffe


class Stars(griffe.Extension):
    """Escapes the stars of shapes."""

    def on_instance(self, *, obj, **_):
        """Called for every module, class, function and attribute that is found."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("[*,", r"[\*,")
