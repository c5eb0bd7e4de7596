from reglab.data.builtin import BUILT_IN
def load(source, **k):
    return BUILT_IN[source]()
