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
    targets: [
        // MARK: - L0 native code

        // MARK: - L1 vocabulary
        .target(name: "AnnexCore", swiftSettings: settings),

        // MARK: - L2 one hard thing each

        // MARK: - Tests
        .target(
            name: "AnnexTestSupport", dependencies: ["AnnexCore"], path: "Tests/AnnexTestSupport",
            swiftSettings: settings),
        .testTarget(name: "AnnexCoreTests", dependencies: ["AnnexCore", "AnnexTestSupport"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
