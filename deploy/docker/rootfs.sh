#!/bin/sh
# Collects what meshc and Envoy need into a folder, as the whole of an image: the interpreter, the
# libraries that something links to, certificates, two users.  usage: rootfs.sh FOLDER
set -eu
root=$1
umask 022
mkdir -p "$root"

# As it lies in the file system; a link brings what it points to as well.
bring() {
  for path in "$@"; do
    [ -e "$root$path" ] || {
      mkdir -p "$root$(dirname "$path")"
      cp -a "$path" "$root$path"
      echo "$path" >>"$root.files"
    }
    [ ! -L "$path" ] || bring "$(readlink -f "$path")"
  done
}

: >"$root.files"
# Debian's folders in / are links into /usr.
for name in bin sbin lib lib32 lib64 libx32; do
  [ ! -L "/$name" ] || { mkdir -p "$root/usr/$name"; cp -a "/$name" "$root/$name"; }
done

version=$(/opt/meshc/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
bring "/usr/bin/$version" /usr/bin/python3 "/usr/lib/$version"
bring /etc/ssl/certs/ca-certificates.crt /usr/share/ca-certificates
[ ! -e /usr/share/zoneinfo/UTC ] || bring /usr/share/zoneinfo/UTC
rm -rf "$root/usr/lib/$version/ensurepip" "$root/usr/lib/$version/idlelib" \
  "$root/usr/lib/$version/test" "$root/usr/lib/$version/tkinter" \
  "$root/usr/lib/$version/lib2to3" "$root/usr/lib/$version/pydoc_data"

mkdir -p "$root/opt"
cp -a /opt/meshc "$root/opt/meshc"
packages="$root/opt/meshc/lib/$version/site-packages"
[ ! -e "$packages/pip" ] || { echo "pip is not wanted in $packages" >&2; exit 1; }
# The wheel's own start script would start Python to start Envoy.
ln -sf "../lib/$version/site-packages/envoy/_bin/envoy" "$root/opt/meshc/bin/envoy"
rm -f "$root"/opt/meshc/bin/activate* "$root"/opt/meshc/bin/Activate*
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +

# Libraries, and the loader: whatever a program or an extension names.
find "$root" -type f \( -perm -u+x -o -name '*.so*' \) | while read -r file; do
  ldd "$file" 2>/dev/null || :
done | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\s*\(\/[^ ]*\) (.*/\1/p' | sort -u >"$root.libraries"
while read -r library; do
  case $library in
    "$root"* | /opt/meshc/*) ;; # of a wheel: in its place already
    *) bring "$library" ;;
  esac
done <"$root.libraries"

mkdir -p "$root/etc" "$root/tmp" "$root/dev" "$root/proc" "$root/sys" "$root/run"
chmod 1777 "$root/tmp"
printf '%s\n' 'root:x:0:0:root:/nonexistent:/nonexistent' \
  'meshc:x:10001:10001:meshc:/nonexistent:/nonexistent' \
  'envoy:x:10002:10002:envoy:/nonexistent:/nonexistent' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'meshc:x:10001:' 'envoy:x:10002:' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
cp /etc/os-release "$root/etc/os-release"

# Places for volumes: an empty volume takes owner and mode of the folder that it covers.
for place in 10001:/var/lib/meshc/envoy 10001:/srv/mesh/out 10002:/var/log/envoy; do
  mkdir -p "$root${place#*:}"
  chown "${place%%:*}:${place%%:*}" "$root${place#*:}"
done

# Whose files these are, so that scanners of images know what is in it.
mkdir -p "$root/var/lib/dpkg/status.d"
while read -r path; do
  dpkg-query --search "$path" "$(readlink -f "$path")" "/usr$path" "${path#/usr}" 2>/dev/null || :
done <"$root.files" | sed 's/: .*//; s/, /\n/g' | sed 's/:.*//' | sort -u | while read -r package; do
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
done
rm -f "$root.files" "$root.libraries"

find "$root" -depth -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
