"""Wrong agents, each of which a test must catch.

stage       an Envoy, two servers, small sets of files
scenarios   what must be so after a delivery; passes with the real code
mutations   the same code with one thing left out or done wrong
"""
