import Foundation

/// A number that some threads change and others wait for, so that no test sleeps and looks again.
///
/// `@unchecked`: `number` is only touched while the condition's lock is held.
final class Watched: @unchecked Sendable {
    private let condition = NSCondition()
    private var number: Int

    init(_ number: Int = 0) { self.number = number }

    var value: Int { self.condition.withLock { self.number } }

    /// What it is then.
    @discardableResult func add(_ count: Int) -> Int { self.change { $0 += count } }
    func set(_ number: Int) { _ = self.change { $0 = number } }

    private func change(_ body: (inout Int) -> Void) -> Int {
        self.condition.withLock {
            body(&self.number)
            self.condition.broadcast()
            return self.number
        }
    }

    /// Blocks until `isSo`, for at most 30 seconds. Whether it came to that.
    func wait(until isSo: (Int) -> Bool) -> Bool {
        let end = Date() + 30
        return self.condition.withLock {
            while !isSo(self.number) {
                guard self.condition.wait(until: end) else { return isSo(self.number) }
            }
            return true
        }
    }
}
