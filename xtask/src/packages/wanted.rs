//! Which packages, and where they may come from.

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// clang for wasm and the C library; not needed with `WASI_SDK_PATH`.
    Toolchain,
    /// A shared library that clang needs; only fetched where the machine lacks this soname.
    Library(&'static str),
    /// Only fetched where this program is not on PATH.
    Tool(&'static str),
    /// Perl with its modules; only fetched where these are missing, as they are on a bare Debian.
    Perl,
    /// A server that tests talk to, or a shared library of one.
    Peer,
    /// Chromium without a window, or a shared library or font of it.
    Browser,
    /// The library that `cargo xtask fuzz` links.
    Fuzz,
    /// A source package.
    Source,
}

pub struct Wanted {
    /// A source package's name starts with [`SOURCE_PREFIX`].
    pub package: &'static str,
    pub group: Group,
    pub suites: &'static [&'static str],
}

/// Debian has binary packages and source packages of the same name.
pub const SOURCE_PREFIX: &str = "src:";

/// Programs come from one release whatever the machine runs, so that they fit each other.
pub const PROGRAMS: &[&str] = &["bookworm", "bookworm-updates", "bookworm-security"];
pub const SOURCES: &[&str] = &["trixie", "trixie-updates", "trixie-security"];
/// bookworm's wasi-libc is of 2022 and lacks wasm32-wasip1.
pub const WASI_LIBC: &[&str] = &["trixie-backports"];

/// bookworm's pip does not run on a newer Python than its own.
pub const PIP: &[&str] = &["trixie"];

pub const WANTED: &[Wanted] = &[
    toolchain("clang-22", PROGRAMS),
    toolchain("libclang-common-22-dev", PROGRAMS),
    toolchain("libclang-cpp22", PROGRAMS),
    toolchain("libclang-rt-22-dev-wasm32", PROGRAMS),
    toolchain("libllvm22", PROGRAMS),
    toolchain("lld-22", PROGRAMS),
    toolchain("llvm-22", PROGRAMS),
    toolchain("wasi-libc", WASI_LIBC),
    library("libz3-4", "libz3.so.4"),
    library("libedit2", "libedit.so.2"),
    library("libbsd0", "libbsd.so.0"),
    library("libmd0", "libmd.so.0"),
    library("libtinfo6", "libtinfo.so.6"),
    library("libxml2", "libxml2.so.2"),
    library("libicu72", "libicuuc.so.72"),
    library("liblzma5", "liblzma.so.5"),
    library("libffi8", "libffi.so.8"),
    library("libzstd1", "libzstd.so.1"),
    library("zlib1g", "libz.so.1"),
    tool("make", "make"),
    tool("patch", "patch"),
    tool("xz-utils", "xz"),
    tool("bzip2", "bzip2"),
    // sqlite3's single source file is put together by a Tcl script.
    tool("tcl8.6", "tclsh"),
    tool("libtcl8.6", "tclsh"),
    perl("perl-base"),
    perl("perl-modules-5.36"),
    perl("libperl5.36"),
    peer("nginx"),
    peer("postgresql-15"),
    peer("redis-server"),
    peer("redis-tools"),
    peer("mariadb-server-core"),
    peer("openssl"),
    peer("libpcre2-8-0"),
    peer("libssl3"),
    peer("libpq5"),
    peer("libldap-2.5-0"),
    peer("liblz4-1"),
    peer("libpam0g"),
    peer("libselinux1"),
    peer("libsystemd0"),
    peer("libgssapi-krb5-2"),
    peer("libkrb5-3"),
    peer("libk5crypto3"),
    peer("libcom-err2"),
    peer("libkrb5support0"),
    peer("libkeyutils1"),
    peer("libsasl2-2"),
    peer("libgnutls30"),
    peer("libnettle8"),
    peer("libhogweed6"),
    peer("libgmp10"),
    peer("libidn2-0"),
    peer("libunistring2"),
    peer("libp11-kit0"),
    peer("libtasn1-6"),
    peer("libcap2"),
    peer("libcap-ng0"),
    peer("libaudit1"),
    peer("libgcrypt20"),
    peer("libgpg-error0"),
    peer("libjemalloc2"),
    peer("liblzf1"),
    peer("libatomic1"),
    peer("liburing2"),
    peer("libnuma1"),
    peer("libaio1"),
    browser("chromium-headless-shell"),
    browser("chromium-common"),
    browser("fonts-dejavu-core"),
    browser("libsqlite3-0"),
    browser("libasound2"),
    browser("libasyncns0"),
    browser("libatk1.0-0"),
    browser("libatspi2.0-0"),
    browser("libblkid1"),
    browser("libbrotli1"),
    browser("libdav1d6"),
    browser("libdbus-1-3"),
    browser("libdouble-conversion3"),
    browser("libdrm2"),
    browser("libexpat1"),
    browser("libflac12"),
    browser("libfontconfig1"),
    browser("libfreetype6"),
    browser("libgbm1"),
    browser("libglib2.0-0"),
    browser("libgraphite2-3"),
    browser("libharfbuzz-subset0"),
    browser("libharfbuzz0b"),
    browser("libjpeg62-turbo"),
    browser("liblcms2-2"),
    browser("libminizip1"),
    browser("libmount1"),
    browser("libmp3lame0"),
    browser("libmpg123-0"),
    browser("libnspr4"),
    browser("libnss3"),
    browser("libogg0"),
    browser("libopenh264-7"),
    browser("libopenjp2-7"),
    browser("libopus0"),
    browser("libpng16-16"),
    browser("libpulse0"),
    browser("libsndfile1"),
    browser("libudev1"),
    browser("libvorbis0a"),
    browser("libvorbisenc2"),
    browser("libwayland-server0"),
    browser("libx11-6"),
    browser("libx11-xcb1"),
    browser("libxau6"),
    browser("libxcb1"),
    browser("libxcomposite1"),
    browser("libxdamage1"),
    browser("libxdmcp6"),
    browser("libxext6"),
    browser("libxfixes3"),
    browser("libxi6"),
    browser("libxkbcommon0"),
    browser("libxnvctrl0"),
    browser("libxrandr2"),
    browser("libxrender1"),
    Wanted {
        package: "python3-pip-whl",
        group: Group::Peer,
        suites: PIP,
    },
    Wanted {
        package: "libclang-rt-22-dev",
        group: Group::Fuzz,
        suites: PROGRAMS,
    },
    source("src:python3.13"),
    source("src:zlib"),
    source("src:bzip2"),
    source("src:xz-utils"),
    source("src:sqlite3"),
    source("src:openssl"),
];

const fn toolchain(package: &'static str, suites: &'static [&'static str]) -> Wanted {
    Wanted {
        package,
        group: Group::Toolchain,
        suites,
    }
}

const fn library(package: &'static str, soname: &'static str) -> Wanted {
    Wanted {
        package,
        group: Group::Library(soname),
        suites: PROGRAMS,
    }
}

const fn tool(package: &'static str, program: &'static str) -> Wanted {
    Wanted {
        package,
        group: Group::Tool(program),
        suites: PROGRAMS,
    }
}

const fn perl(package: &'static str) -> Wanted {
    Wanted {
        package,
        group: Group::Perl,
        suites: PROGRAMS,
    }
}

const fn peer(package: &'static str) -> Wanted {
    Wanted {
        package,
        group: Group::Peer,
        suites: PROGRAMS,
    }
}

const fn browser(package: &'static str) -> Wanted {
    Wanted {
        package,
        group: Group::Browser,
        suites: PROGRAMS,
    }
}

const fn source(package: &'static str) -> Wanted {
    Wanted {
        package,
        group: Group::Source,
        suites: SOURCES,
    }
}

pub fn find(package: &str) -> &'static Wanted {
    WANTED
        .iter()
        .find(|wanted| wanted.package == package)
        .unwrap_or_else(|| panic!("`{package}` is not in WANTED"))
}

pub fn names(group: Group) -> Vec<&'static str> {
    WANTED
        .iter()
        .filter(|wanted| wanted.group == group)
        .map(|wanted| wanted.package)
        .collect()
}
