"""A disk whose power goes away: every write and flush is logged, and any crash can be replayed.

content   what a disk holds, without the zeroes
nbd       a block device in memory, served over NBD, that logs what reaches it
mounts    loop devices and mounts, taken down again whatever happens
disk      a file system on the one, through nbdfuse and a loop device, and where that can be had
nodes     the sets of files that are delivered
host      the host whose disk it is, and how it starts after a power cut
mutants   mistakes that are made on purpose
play      the process that delivers: the real agent, which says what it takes for durable
record    all of that put together: deliveries, or a start, and what they did to the disk
images    what may be on the disk after a power cut somewhere in a log; pure
verdict   mount such an image, look, start the host, look again
"""
