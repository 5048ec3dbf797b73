"""The project's own layout: where everything stands, with no Graphviz in it.

`cards` measures boxes. `parallel` finds series and parallel parts, `tower` stacks them;
`layered` draws what is neither, `pyramid` what goes down by strides and up again. `route`
leads edges around boxes, and `page` puts the main picture, insets and legend together.
"""
