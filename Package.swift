// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + (Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)])

/// For targets that hold native handles or raw memory: every unsafe use is marked in the source.
let strict = settings + [.strictMemorySafety()]

let package = Package(
    name: "annex",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // MARK: - L0 native code

        // MARK: - L1 vocabulary
        .target(name: "AnnexCore", swiftSettings: settings),

        // MARK: - L2 one hard thing each
        .target(
            name: "AnnexWire", dependencies: ["AnnexCore", .product(name: "NIOCore", package: "swift-nio")],
            swiftSettings: settings),

        // MARK: - Tests
        .target(
            name: "AnnexTestSupport", dependencies: ["AnnexCore"], path: "Tests/AnnexTestSupport",
            swiftSettings: settings),
        .testTarget(name: "AnnexCoreTests", dependencies: ["AnnexCore", "AnnexTestSupport"], swiftSettings: settings),
        .testTarget(
            name: "AnnexWireTests",
            dependencies: [
                "AnnexCore", "AnnexWire", "AnnexTestSupport", .product(name: "NIOCore", package: "swift-nio"),
            ], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
