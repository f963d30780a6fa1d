import AnnexCore
import AnnexStore
import Crypto

/// Computes the hash that stands for the id of a forgotten user, so that the id itself is gone.
package enum UserHash {
    /// Returns the first 16 bytes of the SHA-256 of the id.
    package static func of(_ id: some Sequence<UInt8>) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: Array(id))
        return Array(hash.finalize().prefix(16))
    }
}

extension StateView {
    /// Tells whether a user was forgotten. O(1) where nobody was.
    func hasForgotten(_ id: Span<UInt8>) throws(AnnexError) -> Bool {
        guard try self.hasForgotten else { return false }
        return try self.forgottenAt(hash: UserHash.of(Array(copying: id))) != nil
    }
}
