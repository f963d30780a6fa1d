// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + (Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)])

/// For targets that hold native handles, raw memory or files: every unsafe use is marked in the source.
let strict = settings + [.strictMemorySafety()]

/// `ANNEX_SANITIZE=1`, which `tools/test --only sanitizers` sets: only what reaches native code and its tests, so that
/// nothing is compiled twice that a sanitizer of C and C++ says nothing about (NIO, the server, the command line).
let sanitized = Context.environment["ANNEX_SANITIZE"] != nil
/// Undefined behaviour in our own C and C++, found at run time, ends the process. SwiftPM knows no such flag on Linux. The
/// handlers come with AddressSanitizer's run time; those two that need C++ type information do not.
let undefined =
    sanitized ? ["-fsanitize=undefined", "-fno-sanitize=vptr,function", "-fno-sanitize-recover=undefined"] : []

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

func tests(_ target: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .testTarget(
        name: target + "Tests",
        dependencies: [.target(name: target), "AnnexCore", "AnnexTestSupport"] + dependencies,
        exclude: exclude,
        swiftSettings: settings
    )
}

let package = Package(
    name: "annex",
    products: [.executable(name: "annctl", targets: ["annctl"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // MARK: - L0 native code
        .target(
            name: "CFaissShim",
            dependencies: ["CAnnexKernels"],
            cxxSettings: [.headerSearchPath("private"), .unsafeFlags(undefined)],
            linkerSettings: [
                .linkedLibrary("faiss"), .linkedLibrary("openblas"), .linkedLibrary("gomp"), .linkedLibrary("stdc++"),
                .linkedLibrary("m"),
            ]
        ),
        .target(name: "CAnnexKernels", cSettings: [.unsafeFlags(undefined)]),
        .target(name: "CBusError"),
        .target(name: "CResolv", linkerSettings: [.linkedLibrary("resolv")]),
        .systemLibrary(name: "CLMDB"),
        .systemLibrary(name: "COpenBLAS"),
        .systemLibrary(name: "CZlib"),
        .systemLibrary(name: "CChecksum"),
        .systemLibrary(name: "CMalloc"),

        // MARK: - L1 vocabulary
        .target(name: "AnnexCore", swiftSettings: settings),

        // MARK: - L2 one hard thing each
        .target(
            name: "AnnexIndex",
            dependencies: ["AnnexCore", "CFaissShim", "CAnnexKernels"],
            swiftSettings: strict
        ),
        .target(name: "AnnexStore", dependencies: ["AnnexCore", "CLMDB", "CChecksum"], swiftSettings: strict),
        .target(name: "AnnexFormats", dependencies: ["AnnexCore", "CZlib"], swiftSettings: strict),
        .target(name: "AnnexLinearAlgebra", dependencies: ["AnnexCore", "COpenBLAS"], swiftSettings: strict),
        .target(name: "AnnexWire", dependencies: ["AnnexCore", nioCore], swiftSettings: settings),

        // MARK: - L3 behaviour
        .target(
            name: "AnnexBuild",
            dependencies: [
                "AnnexCore", "AnnexIndex", "AnnexStore", "AnnexFormats", "AnnexLinearAlgebra", "Yams", crypto, logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "AnnexEngine",
            dependencies: ["AnnexCore", "AnnexIndex", "AnnexStore", "AnnexLinearAlgebra", crypto],
            swiftSettings: strict
        ),
        .target(
            name: "AnnexServer",
            dependencies: ["AnnexCore", "AnnexWire", "CMalloc", nioCore, nioPosix, logging, crypto],
            swiftSettings: settings
        ),
        .target(
            name: "AnnexClient",
            dependencies: ["AnnexCore", "AnnexWire", nioCore, nioPosix],
            swiftSettings: settings
        ),

        // MARK: - L4 meaning of a command
        .target(name: "AnnexShard", dependencies: ["AnnexCore", "AnnexWire", "AnnexEngine"], swiftSettings: settings),
        .target(
            name: "AnnexRouter",
            dependencies: ["AnnexCore", "AnnexWire", "AnnexClient", nioCore, nioPosix, logging],
            swiftSettings: settings
        ),
        .target(
            name: "AnnexLog",
            dependencies: [
                "AnnexCore", "AnnexWire", "AnnexStore", "AnnexEngine", "AnnexClient", nioCore, logging,
            ],
            swiftSettings: settings
        ),
        .target(
            name: "AnnexTools",
            dependencies: ["AnnexCore", "AnnexWire", "AnnexClient", nioCore, nioPosix, crypto, histogram],
            swiftSettings: settings
        ),

        // MARK: - L5 what a running process is made of
        .target(
            name: "AnnexNode",
            dependencies: [
                "AnnexCore", "AnnexBuild", "AnnexClient", "AnnexEngine", "AnnexLog", "AnnexServer", "AnnexRouter", "AnnexShard",
                "AnnexStore", "AnnexWire", "CResolv", logging, nioCore, nioPosix, "Yams",
            ],
            swiftSettings: settings
        ),

        // MARK: - L6 the executable
        .executableTarget(
            name: "annctl",
            dependencies: [
                "AnnexCore", "AnnexBuild", "AnnexClient", "AnnexEngine", "AnnexFormats", "AnnexLog", "AnnexNode", "AnnexServer",
                "AnnexStore", "AnnexTools", "AnnexWire", "CBusError", argumentParser, logging, nioCore, nioPosix,
            ],
            swiftSettings: settings
        ),

        // MARK: - Tests
        /// A whole version made by hand, for the tests of what serves one.
        .target(
            name: "AnnexVersionSupport",
            dependencies: [
                "AnnexCore", "AnnexEngine", "AnnexIndex", "AnnexLinearAlgebra", "AnnexStore", "AnnexTestSupport",
            ],
            path: "Tests/AnnexVersionSupport",
            swiftSettings: settings
        ),
        .target(
            name: "AnnexTestSupport",
            dependencies: ["AnnexCore"],
            path: "Tests/AnnexTestSupport",
            swiftSettings: settings
        ),
        .testTarget(name: "AnnexCoreTests", dependencies: ["AnnexCore", "AnnexTestSupport"], swiftSettings: settings),
        tests("AnnexIndex", ["CAnnexKernels"]),
        tests("AnnexStore"),
        tests("AnnexFormats", ["CZlib"], exclude: ["Fixtures"]),
        // What counts allocations stands in a sanitizer's way.
        tests("AnnexLinearAlgebra", sanitized ? [] : ["CAllocationCounter"]),
        tests("AnnexWire", [nioCore]),
        tests("AnnexBuild", ["AnnexIndex", "AnnexLinearAlgebra", "AnnexStore"]),
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        tests("AnnexEngine", ["AnnexIndex", "AnnexLinearAlgebra", "AnnexStore", "AnnexVersionSupport"]),
        tests(
            "AnnexShard",
            [
                "AnnexVersionSupport", "AnnexEngine", "AnnexIndex", "AnnexLinearAlgebra", "AnnexStore", "AnnexWire",
                "CAllocationCounter",
                nioCore,
            ]
        ),
        tests("AnnexServer", ["AnnexWire", nioCore, logging]),
        tests("AnnexClient", ["AnnexWire", nioCore, nioPosix]),
        tests("AnnexTools", ["AnnexWire"]),
        /// All commands over a whole server, without a process.
        .testTarget(
            name: "AnnexCommandTests",
            dependencies: [
                "AnnexCore", "AnnexEngine", "AnnexLinearAlgebra", "AnnexServer", "AnnexShard", "AnnexStore",
                "AnnexTestSupport", "AnnexVersionSupport", "AnnexWire", logging, nioCore,
            ],
            swiftSettings: settings
        ),
        tests("AnnexLog", ["AnnexEngine", "AnnexStore", "AnnexWire", nioCore]),
        tests("AnnexRouter", ["AnnexLog", "CAllocationCounter"]),
        tests("AnnexNode", ["AnnexBuild", "AnnexServer", "AnnexRouter", logging, nioCore]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

if sanitized {
    let native: Set = [
        "CFaissShim", "CAnnexKernels", "CLMDB", "COpenBLAS", "CZlib", "CChecksum", "AnnexCore", "AnnexIndex",
        "AnnexStore", "AnnexFormats", "AnnexLinearAlgebra", "AnnexBuild", "AnnexTestSupport", "AnnexIndexTests",
        "AnnexStoreTests", "AnnexFormatsTests", "AnnexBuildTests", "AnnexLinearAlgebraTests",
    ]
    package.targets.removeAll { !native.contains($0.name) }
    package.products = []
    let libraries = ["swift-log", "swift-crypto", "Yams"]
    package.dependencies.removeAll { dependency in
        guard case .sourceControl(_, let location, _) = dependency.kind else { return false }
        return !libraries.contains { location.hasSuffix($0) }
    }
}
