"""Tools for a derivative that looks wrong, or that is not finite.

gradcheck   `check_grads`: compare derivatives with finite differences; name the primitive whose rule is wrong
anomaly     `detect_anomaly`: raise at the first nan or infinity, forward or backward, with the line that made it
explain     `explain`: the paths through the graph whose products add up to a derivative
callsite    the line of the user's code that is running
text        operations and numbers as error messages show them
"""
