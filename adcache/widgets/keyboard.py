"""Arrow keys, Space and Enter belong to the control that has the focus.

In a notebook JupyterLab takes them, and would leave the control for the next
cell. The attribute below gives them back.
"""


def keep_keys(css_class: str) -> str:
    """Return an HTML style element that gives a widget's controls their keys.

    It stands inside the widget whose class is `css_class`; it runs when drawn.
    """
    script = (
        f"this.closest('.{css_class}').addEventListener('focusin', event =>"
        " event.target.setAttribute('data-lm-suppress-shortcuts', ''))"
    )
    return f'<style onload="{script}">/* keys */</style>'
