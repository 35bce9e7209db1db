# SPDX-License-Identifier: MIT
"""The build backend (PEP 517, PEP 660): `pip install ./python`, with no network and nothing installed.

It compiles the extension `_asyncore` together with the part of the C core that it uses, which lies in
../src, or in core/ in a source distribution. On interpreters that the extension is not for (PyPy, and
those without a GIL), and where ASYNCORE_PURE=1 is set, the wheel holds the Python modules alone.

    python3.X backend.py FOLDER [FLAG...]

puts the modules and the extension for that interpreter in a folder; the flags are the compiler's.
"""

import base64
import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
PARENT = os.path.dirname(HERE)

# Of the C core: the poller and the memory beneath it.
CORE_SOURCES = ['src/base/alloc.c', 'src/poll/epoll.c']
CORE_HEADERS = ['src/base/alloc.h', 'src/poll/poller.h', 'include/asyncore/base.h']

# 1980: the first year that a zip file knows. The same sources give the same wheel.
EPOCH = max(int(os.environ.get('SOURCE_DATE_EPOCH', '315532800')), 315532800)


# --- what there is ------------------------------------------------------------------------------

def project():
    """The fields of pyproject.toml that a wheel tells of. (There is no tomllib before 3.11.)"""
    with open(os.path.join(HERE, 'pyproject.toml'), encoding='utf-8') as file:
        text = file.read().partition('[project]')[2]
    fields = dict(re.findall(r'^([\w-]+) = "(.*)"$', text, re.M))
    fields['classifiers'] = re.findall(r'^    "(.*)",$', text, re.M)
    return fields


def core():
    """The folder that src/ and include/ of the C core lie in."""
    for folder in (os.path.join(HERE, 'core'), PARENT):
        if os.path.exists(os.path.join(folder, CORE_SOURCES[0])):
            return folder
    raise RuntimeError('the C core is in neither core/ nor ../src')


def modules():
    """The modules and their stubs, as they lie in this folder."""
    return [name for name in sorted(os.listdir(HERE))
            if name.endswith(('.py', '.pyi')) and name not in ('backend.py', 'setup.py')]


def installed_name(name):
    """Where a file of modules() is put. Type checkers look for stubs of modules in packages only."""
    return name[:-4] + '-stubs/__init__.pyi' if name.endswith('.pyi') else name


def pure():
    return (os.environ.get('ASYNCORE_PURE') == '1' or sys.implementation.name != 'cpython'
            or bool(sysconfig.get_config_var('Py_GIL_DISABLED')) or not sys.platform.startswith('linux'))


def sources():
    folder = os.path.join(HERE, '_asyncore')
    return ([os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith('.c')]
            + [os.path.join(core(), name) for name in CORE_SOURCES])


def headers():
    folder = os.path.join(HERE, '_asyncore')
    return ([os.path.join(folder, name) for name in sorted(os.listdir(folder))
             if name.endswith(('.h', '.map'))]
            + [os.path.join(core(), name) for name in CORE_HEADERS])


# --- the extension ------------------------------------------------------------------------------

def extension_name():
    return '_asyncore' + sysconfig.get_config_var('EXT_SUFFIX')


def compiler():
    """The compiler as a list of words: CC, or the system's own, or the one that Python was made by."""
    if os.environ.get('CC'):
        return shlex.split(os.environ['CC'])
    for folder in os.environ.get('PATH', os.defpath).split(os.pathsep):
        if os.access(os.path.join(folder, 'cc'), os.X_OK):
            return ['cc']
    return shlex.split(sysconfig.get_config_var('CC') or 'cc')[:1]


def compile_extension(path, flags=()):
    """Makes the extension for this interpreter, if it is older than what it is made of."""
    needs = sources() + headers() + [os.path.abspath(__file__)]
    if not flags and os.path.exists(path) and os.path.getmtime(path) > max(map(os.path.getmtime, needs)):
        return
    include = {sysconfig.get_path('include'), sysconfig.get_path('platinclude')}
    if not any(os.path.exists(os.path.join(folder, 'Python.h')) for folder in include):
        raise RuntimeError('Python.h of %s is not there (Debian: python3-dev); ASYNCORE_PURE=1 does '
                           'without the extension' % sys.executable)
    made = '%s.%d' % (path, os.getpid())
    command = compiler() + ['-std=gnu11', '-O2', '-g', '-fPIC', '-fvisibility=hidden', '-Wall',
                            '-Wextra', '-D_GNU_SOURCE', '-fno-semantic-interposition',
                            '-fstack-protector-strong', '-fno-strict-overflow', '-pthread']
    command += shlex.split(os.environ.get('CFLAGS', '')) + list(flags)
    # gcc finds system headers by their real paths. Where those of a debug build are links (Debian), it
    # would read them with the configuration of the other build.
    flag = '-I' if sysconfig.get_config_var('Py_DEBUG') else '-isystem'
    for folder in sorted(include):
        command += [flag, folder]
    command += ['-I' + os.path.join(core(), 'include'), '-I' + os.path.join(core(), 'src')]
    command += sources()
    command += ['-shared', '-Wl,--version-script,' + os.path.join(HERE, '_asyncore', 'exports.map'),
                '-Wl,-z,relro', '-Wl,-z,now', '-o', made]
    command += shlex.split(os.environ.get('LDFLAGS', ''))
    try:
        subprocess.run(command, check=True)
    except OSError as error:
        raise RuntimeError('no C compiler: %s; ASYNCORE_PURE=1 does without' % error) from None
    os.replace(made, path)


def build_into(folder, flags=()):
    """Puts all that an interpreter imports into a folder, writing what differs."""
    os.makedirs(folder, exist_ok=True)
    for name in modules():
        path = os.path.join(folder, name)
        with open(os.path.join(HERE, name), 'rb') as file:
            content = file.read()
        if os.path.exists(path):
            with open(path, 'rb') as file:
                if file.read() == content:
                    continue
        with open(path, 'wb') as file:
            file.write(content)
    if not pure():
        compile_extension(os.path.join(folder, extension_name()), flags)


# --- wheels -------------------------------------------------------------------------------------

def tag():
    if pure():
        return 'py3-none-any'
    python = 'cp%d%d' % sys.version_info[:2]
    abi = python + getattr(sys, 'abiflags', '')
    return '%s-%s-%s' % (python, abi, re.sub(r'\W', '_', sysconfig.get_platform()))


def metadata():
    fields = project()
    lines = ['Metadata-Version: 2.1', 'Name: ' + fields['name'], 'Version: ' + fields['version'],
             'Summary: ' + fields['description'], 'License: MIT',
             'Requires-Python: ' + fields['requires-python']]
    lines += ['Classifier: ' + each for each in fields['classifiers']]
    readme = os.path.join(HERE, fields['readme'])
    text = '\n'.join(lines) + '\n'
    if os.path.exists(readme):
        with open(readme, encoding='utf-8') as file:
            text += 'Description-Content-Type: text/markdown\n\n' + file.read()
    return text


def info_folder():
    fields = project()
    return '%s-%s.dist-info' % (fields['name'], fields['version'])


def info():
    """The files of .dist-info but for RECORD: name -> content."""
    kind = 'true' if pure() else 'false'
    files = {
        'METADATA': metadata(),
        'WHEEL': 'Wheel-Version: 1.0\nGenerator: asyncore backend\nRoot-Is-Purelib: %s\nTag: %s\n'
                 % (kind, tag()),
    }
    for licence in (os.path.join(HERE, 'LICENSE'), os.path.join(PARENT, 'LICENSE')):
        if os.path.exists(licence):
            with open(licence, encoding='utf-8') as file:
                files['LICENSE'] = file.read()
            break
    return files


def write_wheel(folder, content):
    """Writes a wheel of `content`, a dict of names and bytes; returns its name."""
    fields = project()
    name = '%s-%s-%s.whl' % (fields['name'], fields['version'], tag())
    record = []
    content = dict(content)
    for each, text in info().items():
        content[info_folder() + '/' + each] = text.encode()
    for each, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
        record.append('%s,sha256=%s,%d' % (each, digest, len(data)))
    record.append(info_folder() + '/RECORD,,')
    content[info_folder() + '/RECORD'] = ('\n'.join(record) + '\n').encode()
    from time import gmtime
    with zipfile.ZipFile(os.path.join(folder, name), 'w', zipfile.ZIP_DEFLATED) as wheel:
        for each, data in content.items():
            entry = zipfile.ZipInfo(each, gmtime(EPOCH)[:6])
            entry.external_attr = (0o755 if each.endswith('.so') else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return name


def wanted_pure(config_settings):
    if str((config_settings or {}).get('pure', '')).lower() in ('1', 'true', 'yes'):
        os.environ['ASYNCORE_PURE'] = '1'


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    wanted_pure(config_settings)
    content = {}
    for name in modules():
        with open(os.path.join(HERE, name), 'rb') as file:
            content[installed_name(name)] = file.read()
        if name.endswith('.pyi'):
            content[name[:-4] + '-stubs/py.typed'] = b''
    if not pure():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, extension_name())
            compile_extension(path)
            with open(path, 'rb') as file:
                content[extension_name()] = file.read()
    return write_wheel(wheel_directory, content)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """A .pth that names this folder; the extension is made here, beside the modules."""
    wanted_pure(config_settings)
    if not pure():
        compile_extension(os.path.join(HERE, extension_name()))
    return write_wheel(wheel_directory, {'__editable__.asyncore.pth': (HERE + '\n').encode()})


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    wanted_pure(config_settings)
    folder = os.path.join(metadata_directory, info_folder())
    os.mkdir(folder)
    for name, text in info().items():
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write(text)
    return info_folder()


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel


# --- source distributions -----------------------------------------------------------------------

def build_sdist(sdist_directory, config_settings=None):
    fields = project()
    base = '%s-%s' % (fields['name'], fields['version'])
    files = {'PKG-INFO': metadata().encode()}
    names = modules() + ['backend.py', 'pyproject.toml', 'README.md', 'py.typed']
    names += [os.path.relpath(path, HERE) for path in sources() + headers()
              if path.startswith(os.path.join(HERE, '_asyncore'))]
    for top in ('examples', 'tests'):
        for folder, _, inside in os.walk(os.path.join(HERE, top)):
            if '__pycache__' not in folder:
                names += [os.path.relpath(os.path.join(folder, name), HERE) for name in inside]
    for name in names:
        if os.path.exists(os.path.join(HERE, name)):
            with open(os.path.join(HERE, name), 'rb') as file:
                files[name] = file.read()
    for name in CORE_SOURCES + CORE_HEADERS:
        with open(os.path.join(core(), name), 'rb') as file:
            files['core/' + name] = file.read()
    files['LICENSE'] = info()['LICENSE'].encode()
    with tarfile.open(os.path.join(sdist_directory, base + '.tar.gz'), 'w:gz',
                      format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(base + '/' + name)
            entry.size = len(data)
            entry.mtime = EPOCH
            entry.mode = 0o755 if data.startswith(b'#!') else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return base + '.tar.gz'


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        build_into(os.path.abspath(sys.argv[1]), sys.argv[2:])
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit('backend.py: %s' % error)
