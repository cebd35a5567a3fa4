"""What HTML pages are made of, for both services: the status page's parts, plots, and how templates are opened.

Who serves them is `shared.system`'s; what they say is each service's own.
"""
