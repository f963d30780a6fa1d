import Foundation

/// A folder that is removed when the owner goes.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init(_ label: String = "annex-test") throws {
        self.path = NSTemporaryDirectory() + "\(label)-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    package func file(_ name: String) -> String { self.path + "/" + name }
}
