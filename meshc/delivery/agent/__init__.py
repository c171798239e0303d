"""The host's side of file delivery: ordered renames, each confirmed by Envoy.

In: the files on disk, the files of a bundle, Envoy's admin interface.
Out: files that Envoy has accepted, or the previous ones and Envoy's reason.
Owns: which file goes first, how one file is replaced, how Envoy's answer is read.
Must not know: where bundles come from, who asked for a delivery.

Envoy gives a file watcher no acknowledgement, tries nothing twice, applies refused files in part
and may handle two renames in the wrong order.  So every step waits for Envoy's own counters.

    configuration   what a set of files says, and who watches which file
    steps           pure: files before, files after → ordered steps
    swap            one file, at once
    admin           Envoy's admin interface
    confirm         what Envoy made of one rename
    outset          what a delivery starts from: both sets, and what Envoy runs of them
    health          which endpoints are used, by what Consul says of their hosts
    deliver         the shell around them: runs the steps, puts everything back on a refusal
"""
