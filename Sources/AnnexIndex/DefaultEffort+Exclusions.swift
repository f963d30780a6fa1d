package import AnnexCore
import Glibc

extension DefaultEffort {
    /// Returns how many exclusions may all be what is best for a query: a twentieth of the items. Of more, few are;
    /// where they are after all, a search meets them one after the other and becomes exact.
    package static func mostLeftOut(of items: Int) -> Int { items / 20 }

    /// Returns the effort for a query that leaves out `count` of `items` items: in between, by the logarithm of their
    /// number. O(1).
    package func leavingOut(_ count: Int, of items: Int) -> SearchEffort {
        guard let most = self.leavingOut, count > 0, count <= Self.mostLeftOut(of: items) else { return self.plain }
        let share = min(1, log(Double(1 + count)) / log(Double(1 + most.items)))
        func between(_ low: Int, _ high: Int) -> Int {
            guard low < high else { return low }
            return Int((Double(low) * pow(Double(high) / Double(low), share)).rounded(.up))
        }
        return switch (self.plain, most.effort) {
        case (.kappa(let low), .kappa(let high)): .kappa(low + Float(share) * max(0, high - low))
        case (.efSearch(let low), .efSearch(let high)): .efSearch(between(low, high))
        case (.nprobe(let low), .nprobe(let high)): .nprobe(between(low, high))
        case (.kappa, _), (.efSearch, _), (.nprobe, _), (.exact, _): most.effort
        }
    }
}
